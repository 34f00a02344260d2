{{/* Rules between values, which the schema cannot say. Each is a sentence. */}}
{{- define "meterfold.refuse" -}}
{{- $partitions := int (dig "partitions" 16 .Values.config.topics) -}}
{{- $workers := mul .Values.replicaCount .Values.config.workers -}}
{{- if gt (int $workers) $partitions -}}
{{- fail (printf "replicaCount times config.workers is %d, and there are %d partitions: some would have nothing to do; lower replicaCount or config.workers" (int $workers) $partitions) -}}
{{- end -}}
{{- if not (index .Values.config.kafka "bootstrap.servers") -}}
{{- fail "config.kafka has no bootstrap.servers: give the brokers as HOST:PORT,HOST:PORT" -}}
{{- end -}}
{{- range $name := list "sasl.password" "ssl.key.password" "ssl.key.pem" "ssl.keystore.password" "sasl.oauthbearer.client.secret" "sasl.oauthbearer.config" -}}
{{- if hasKey $.Values.config.kafka $name -}}
{{- fail (printf "config.kafka has %s, a secret: mount it with secretFiles and give its path as %s.file" $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $path := .Values.config.kafka -}}
{{- if and (hasSuffix ".file" $name) (not (include "meterfold.isMounted" (list $ $path))) -}}
{{- fail (printf "config.kafka: %s is %s, which no entry of secretFiles mounts: secrets appear under /etc/meterfold/secrets/NAME/" $name $path) -}}
{{- end -}}
{{- end -}}
{{- $protocol := lower (dig "security.protocol" "plaintext" .Values.config.kafka) -}}
{{- if and (hasPrefix "sasl_" $protocol) (not (index .Values.config.kafka "sasl.mechanism")) -}}
{{- fail (printf "config.kafka: security.protocol is %s without a sasl.mechanism: give one, such as SCRAM-SHA-512" $protocol) -}}
{{- end -}}
{{- $mechanism := upper (dig "sasl.mechanism" "" .Values.config.kafka) -}}
{{- if and (or (hasPrefix "SCRAM-" $mechanism) (eq $mechanism "PLAIN")) (not (index .Values.config.kafka "sasl.password.file")) -}}
{{- fail (printf "config.kafka: sasl.mechanism is %s without a password: mount it with secretFiles and give sasl.password.file" $mechanism) -}}
{{- end -}}
{{- if and .Values.rateBook.inline .Values.rateBook.existingConfigMap -}}
{{- fail "rateBook has both inline and existingConfigMap: give one" -}}
{{- end -}}
{{- if not (or .Values.rateBook.inline .Values.rateBook.existingConfigMap) -}}
{{- fail "rateBook is empty: give the book in rateBook.inline, or a ConfigMap that holds it in rateBook.existingConfigMap" -}}
{{- end -}}
{{- if ne .Values.resources.requests.memory .Values.resources.limits.memory -}}
{{- fail (printf "resources: %s of memory are requested and %s is the limit: give both the same, or the node may kill an instance at its peak" .Values.resources.requests.memory .Values.resources.limits.memory) -}}
{{- end -}}
{{- if gt (int .Values.updatePartition) (int .Values.replicaCount) -}}
{{- fail (printf "updatePartition is %d, and there are %d instances: give at most so many" (int .Values.updatePartition) (int .Values.replicaCount)) -}}
{{- end -}}
{{- if ge (int (trimSuffix "s" .Values.monitoring.scrapeTimeout)) (int (trimSuffix "s" .Values.monitoring.interval)) -}}
{{- fail (printf "monitoring: a scrape may take %s and there is one every %s: give a shorter scrapeTimeout" .Values.monitoring.scrapeTimeout .Values.monitoring.interval) -}}
{{- end -}}
{{- $session := int (dig "session.timeout.ms" 45000 .Values.config.kafka) -}}
{{- $transaction := int (dig "transaction.timeout.ms" 10000 .Values.config.kafka) -}}
{{- if ge $transaction $session -}}
{{- fail (printf "config.kafka: transaction.timeout.ms is %d and session.timeout.ms is %d: the transaction's must be shorter, or a fenced instance could still commit" $transaction $session) -}}
{{- end -}}
{{- $copies := int (dig "replication_factor" 3 .Values.config.topics) -}}
{{- $insync := int (dig "min_insync_replicas" 2 .Values.config.topics) -}}
{{- if gt $insync $copies -}}
{{- fail (printf "config.topics: min_insync_replicas is %d and replication_factor is %d: give at most so many" $insync $copies) -}}
{{- end -}}
{{- if and (eq (dig "format" "json" .Values.config.output) "avro") (not (dig "url" "" .Values.config.registry)) -}}
{{- fail "config.output: format is avro without a schema registry: give config.registry.url" -}}
{{- end -}}
{{- if and .Values.strimzi.enabled (not .Values.strimzi.cluster) -}}
{{- fail "strimzi is enabled without a cluster: give the name of the Kafka resource in strimzi.cluster" -}}
{{- end -}}
{{- end -}}

{{/* Whether a path lies under a mounted secret: the arguments are the root and the path. */}}
{{- define "meterfold.isMounted" -}}
{{- $path := index . 1 -}}
{{- range (index . 0).Values.secretFiles -}}
{{- if hasPrefix (printf "/etc/meterfold/secrets/%s/" .name) $path -}}yes{{- end -}}
{{- end -}}
{{- end -}}
