package meterfold.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.CompressionType;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;

/**
 * Dedup by id, count per team, month and API, a cap event where the count reaches a cap: exactly
 * once, with state in RocksDB. The parts of meterfold's job that fit Kafka Streams without work.
 *
 * <p>Arguments are words {@code name=value}: brokers, application, input, output, state (a directory),
 * threads, commit_ms, caps ({@code api:cap,api:cap}), records, and avro (the fingerprint of the calls'
 * schema in hexadecimal) where the input is not JSON. With {@code records=N} it ends when N records
 * were taken and committed, and prints one line of figures; with 0 it goes on until it is told to
 * stop.
 */
public final class Peer {
    private static final String IDS = "ids";
    private static final String COUNTS = "counts";

    private static final AtomicLong FIRST_NANOS = new AtomicLong();
    private static final AtomicLong TAKEN = new AtomicLong();
    private static final AtomicLong DUPLICATES = new AtomicLong();
    private static final AtomicLong CAPS_REACHED = new AtomicLong();
    private static final CountDownLatch DONE = new CountDownLatch(1);
    private static volatile long lastNanos;

    private Peer() {}

    public static void main(String[] words) throws InterruptedException {
        Map<String, String> arguments = new HashMap<>();
        for (String word : words) {
            int equals = word.indexOf('=');
            arguments.put(word.substring(0, equals), word.substring(equals + 1));
        }
        long records = Long.parseLong(arguments.get("records"));
        Map<String, Long> caps = new HashMap<>();
        for (String cap : arguments.get("caps").split(",")) {
            String[] parts = cap.split(":");
            caps.put(parts[0], Long.parseLong(parts[1]));
        }
        String fingerprint = arguments.get("avro");
        Long avro = fingerprint == null ? null : Long.parseUnsignedLong(fingerprint, 16);

        // An id is seldom asked for twice: in a cache before the store it only costs (tried: -12%).
        StoreBuilder<KeyValueStore<Bytes, byte[]>> ids =
                Stores.keyValueStoreBuilder(
                        Stores.persistentKeyValueStore(IDS), Serdes.Bytes(), Serdes.ByteArray());
        // Counts are: the cache takes what changes between two commits.
        StoreBuilder<KeyValueStore<Bytes, Long>> counts =
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(COUNTS), Serdes.Bytes(), Serdes.Long())
                        .withCachingEnabled();
        Topology topology =
                new Topology()
                        .addSource("calls", arguments.get("input"))
                        .addProcessor("meter", () -> new Meter(records, caps, avro), "calls")
                        .addStateStore(ids, "meter")
                        .addStateStore(counts, "meter")
                        .addSink("caps", arguments.get("output"), "meter");

        KafkaStreams streams = new KafkaStreams(topology, settings(arguments));
        streams.setUncaughtExceptionHandler(
                failure -> {
                    failure.printStackTrace();
                    Runtime.getRuntime().halt(1);
                    return null;
                });
        Thread stop =
                new Thread(
                        () -> {
                            DONE.countDown();
                            streams.close(Duration.ofSeconds(30));
                        });
        Runtime.getRuntime().addShutdownHook(stop);
        streams.start();
        DONE.await();
        // Closing commits what was taken.
        streams.close(Duration.ofSeconds(30));
        if (records > 0) {
            double seconds = (lastNanos - FIRST_NANOS.get()) / 1e9;
            System.out.printf(
                    "records %d seconds %.3f duplicates %d caps_reached %d%n",
                    TAKEN.get(), seconds, DUPLICATES.get(), CAPS_REACHED.get());
        }
    }

    private static Properties settings(Map<String, String> arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.get("application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.get("brokers"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments.get("state"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments.get("threads"));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments.get("commit_ms"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Rocks.class);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
        settings.put(
                StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        // A member that is known by name: a restart need not wait until the old one has timed out.
        settings.put(
                StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "peer");
        settings.put(
                StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        return settings;
    }

    /** One block cache for all stores, Bloom filters, large memtables. */
    public static final class Rocks implements RocksDBConfigSetter {
        private static final Cache CACHE = new LRUCache(256L << 20);

        @Override
        public void setConfig(String store, Options options, Map<String, Object> settings) {
            BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
            table.setBlockCache(CACHE);
            table.setFilterPolicy(new BloomFilter(10, false));
            table.setCacheIndexAndFilterBlocks(true);
            table.setPinL0FilterAndIndexBlocksInCache(true);
            options.setTableFormatConfig(table);
            options.setCompressionType(CompressionType.LZ4_COMPRESSION);
            options.setWriteBufferSize(32L << 20);
            options.setMaxWriteBufferNumber(3);
            // Most ids are new: a filter spares the search of the memtable too.
            options.setMemtablePrefixBloomSizeRatio(0.05);
            options.setMemtableWholeKeyFiltering(true);
        }

        @Override
        public void close(String store, Options options) {}
    }

    private static final class Meter extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
        private final long records;
        private final Map<String, Long> caps;
        private final Long avro;
        private final Usage usage = new Usage();
        private KeyValueStore<Bytes, byte[]> ids;
        private KeyValueStore<Bytes, Long> counts;

        Meter(long records, Map<String, Long> caps, Long avro) {
            this.records = records;
            this.caps = caps;
            this.avro = avro;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            super.init(context);
            ids = context.getStateStore(IDS);
            counts = context.getStateStore(COUNTS);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (FIRST_NANOS.get() == 0) {
                FIRST_NANOS.compareAndSet(0, System.nanoTime());
            }
            try {
                boolean isApiCall =
                        avro == null
                                ? usage.readJson(record.value())
                                : usage.readAvro(record.value(), avro);
                if (isApiCall) {
                    count(record);
                }
            } catch (java.io.IOException failure) {
                throw new java.io.UncheckedIOException(failure);
            }
            if (TAKEN.incrementAndGet() == records) {
                lastNanos = System.nanoTime();
                DONE.countDown();
            }
        }

        private void count(Record<byte[], byte[]> record) {
            byte[] content = ByteBuffer.allocate(8).putLong(usage.quantity).array();
            if (ids.putIfAbsent(Bytes.wrap(ascii(usage.id)), content) != null) {
                DUPLICATES.incrementAndGet();
                return;
            }
            String cell = usage.team + '|' + usage.month + '|' + usage.api;
            Bytes key = Bytes.wrap(ascii(cell));
            Long before = counts.get(key);
            long used = (before == null ? 0 : before) + usage.quantity;
            counts.put(key, used);
            Long cap = caps.get(usage.api);
            if (cap != null && used >= cap && used - usage.quantity < cap) {
                CAPS_REACHED.incrementAndGet();
                context().forward(record.withValue(capReached(used, cap)));
            }
        }

        private byte[] capReached(long used, long cap) {
            String scope = usage.team + '/' + usage.month + '/' + usage.api;
            String event =
                    "{\"specversion\":\"1.0\",\"id\":\"cap-reached/" + scope
                            + "\",\"source\":\"peer\",\"type\":\"meterfold.cap-reached.v1\",\"subject\":\""
                            + usage.team + "\",\"data\":{\"cause\":{\"id\":\"" + usage.id
                            + "\"},\"month\":\"" + usage.month + "\",\"api\":\"" + usage.api
                            + "\",\"cap\":" + cap + ",\"used\":" + used + "}}";
            return event.getBytes(StandardCharsets.UTF_8);
        }

        private static byte[] ascii(String text) {
            return text.getBytes(StandardCharsets.ISO_8859_1);
        }
    }
}
