package meterfold.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;

/**
 * What the job needs of an API call: id, team, month, API and quantity. One object is filled again
 * for each record, so reading allocates little; the peer is to be as fast as it can be.
 */
final class Usage {
    private static final String API_CALL = "meterfold.api-call.v1";
    private static final JsonFactory JSON = new JsonFactory();

    String id;
    String team;
    /** Such as 2026-01. */
    String month;
    String api;
    long quantity;

    /** Reads a CloudEvent in JSON; false: it is no API call. */
    boolean readJson(byte[] value) throws IOException {
        boolean isApiCall = false;
        quantity = 1;
        try (JsonParser json = JSON.createParser(value)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                switch (name) {
                    case "id" -> id = json.getText();
                    case "subject" -> team = json.getText();
                    case "type" -> isApiCall = API_CALL.equals(json.getText());
                    case "time" -> month = json.getText().substring(0, 7);
                    case "data" -> readData(json);
                    default -> json.skipChildren();
                }
            }
        }
        return isApiCall;
    }

    private void readData(JsonParser json) throws IOException {
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String name = json.currentName();
            json.nextToken();
            switch (name) {
                case "api" -> api = json.getText();
                case "quantity" -> quantity = json.getLongValue();
                default -> json.skipChildren();
            }
        }
    }

    /** Months change rarely: the last one is kept. */
    private long monthFromMillis = Long.MAX_VALUE;

    private long monthToMillis;
    private byte[] bytes;
    private int at;

    /**
     * Reads Avro's single-object encoding of schemas/input/api-call.v1.avsc by hand, field by field;
     * false: another schema's.
     */
    boolean readAvro(byte[] value, long fingerprint) {
        bytes = value;
        at = 10;
        if (bytes[0] != (byte) 0xC3 || bytes[1] != 1 || fingerprint() != fingerprint) {
            return false;
        }
        id = text();
        skip(); // source
        team = text();
        monthOf(number());
        if (number() == 1) {
            number(); // recordedtime
        }
        skip(); // app_id
        api = number() == 1 ? text() : "";
        for (int field = 0; field < 4; field++) { // method, path, engine, source_format
            if (number() == 1) {
                skip();
            }
        }
        quantity = number() == 1 ? number() : 1;
        return true;
    }

    private long fingerprint() {
        long value = 0;
        for (int i = 9; i >= 2; i--) {
            value = value << 8 | (bytes[i] & 0xFF);
        }
        return value;
    }

    private long number() {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes[at++];
            value |= (long) (next & 0x7F) << shift;
            if (next >= 0) {
                return value >>> 1 ^ -(value & 1);
            }
        }
    }

    private String text() {
        int length = (int) number();
        String text = new String(bytes, at, length, StandardCharsets.UTF_8);
        at += length;
        return text;
    }

    private void skip() {
        int length = (int) number();
        at += length;
    }

    private void monthOf(long millis) {
        if (millis < monthFromMillis || millis >= monthToMillis) {
            month = Instant.ofEpochMilli(millis).toString().substring(0, 7);
            var first = java.time.LocalDate.parse(month + "-01").atStartOfDay(java.time.ZoneOffset.UTC);
            monthFromMillis = first.toInstant().toEpochMilli();
            monthToMillis = first.plusMonths(1).toInstant().toEpochMilli();
        }
    }
}
