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
{{- include "meterfold.refuseKafka" (dict "place" "config.kafka" "kafka" .Values.config.kafka "files" "secretFiles" "secretFiles" .Values.secretFiles "insecure" .Values.config.insecure) -}}
{{- include "meterfold.refuseMemory" (dict "place" "resources" "resources" .Values.resources) -}}
{{- with .Values.queries.tokenFile -}}
{{- if not (include "meterfold.isMounted" (list $.Values.secretFiles .)) -}}
{{- fail (printf "queries.tokenFile is %s, which no entry of secretFiles mounts: secrets appear under /etc/meterfold/secrets/NAME/" .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.audit.enabled -}}
{{- include "meterfold.refuseKafka" (dict "place" "audit.kafka" "kafka" (include "meterfold.auditKafka" . | fromYaml) "files" "audit.secretFiles" "secretFiles" .Values.audit.secretFiles "insecure" .Values.config.insecure) -}}
{{- include "meterfold.refuseMemory" (dict "place" "audit.resources" "resources" .Values.audit.resources) -}}
{{- include "meterfold.refuseArchive" .Values.audit -}}
{{- end -}}
{{- if and .Values.rateBook.inline .Values.rateBook.existingConfigMap -}}
{{- fail "rateBook has both inline and existingConfigMap: give one" -}}
{{- end -}}
{{- if not (or .Values.rateBook.inline .Values.rateBook.existingConfigMap) -}}
{{- fail "rateBook is empty: give the book in rateBook.inline, or a ConfigMap that holds it in rateBook.existingConfigMap" -}}
{{- end -}}
{{- include "meterfold.refuseWorkers" . -}}
{{- if gt (int .Values.updatePartition) (int .Values.replicaCount) -}}
{{- fail (printf "updatePartition is %d, and there are %d instances: give at most so many" (int .Values.updatePartition) (int .Values.replicaCount)) -}}
{{- end -}}
{{- if ge (int (trimSuffix "s" .Values.monitoring.scrapeTimeout)) (int (trimSuffix "s" .Values.monitoring.interval)) -}}
{{- fail (printf "monitoring: a scrape may take %s and there is one every %s: give a shorter scrapeTimeout" .Values.monitoring.scrapeTimeout .Values.monitoring.interval) -}}
{{- end -}}
{{- if and (ne .Values.monitoring.kind "none") (gt (mul 2000 (int (trimSuffix "s" .Values.monitoring.interval))) (int64 .Values.config.linger_ms)) -}}
{{- fail (printf "monitoring: there is a scrape every %s, and a halted, fenced or refused process answers for config.linger_ms, %d: give at most half as long an interval, or no alert may see it" .Values.monitoring.interval (int64 .Values.config.linger_ms)) -}}
{{- end -}}
{{- include "meterfold.refuseUnreached" (list "config.kafka" .Values.config.kafka .Values.networkPolicy) -}}
{{- if .Values.audit.enabled -}}
{{- include "meterfold.refuseUnreached" (list "audit.kafka" .Values.audit.kafka .Values.networkPolicy) -}}
{{- end -}}
{{- $session := int (dig "session.timeout.ms" 45000 .Values.config.kafka) -}}
{{- $transaction := int (dig "transaction.timeout.ms" 10000 .Values.config.kafka) -}}
{{- if ge $transaction $session -}}
{{- fail (printf "config.kafka: transaction.timeout.ms is %d and session.timeout.ms is %d: the transaction's must be shorter, or a fenced instance could still commit" $transaction $session) -}}
{{- end -}}
{{- range $place, $labels := dict "commonLabels" .Values.commonLabels "monitoring.labels" .Values.monitoring.labels "alerts.labels" .Values.alerts.labels "dashboards.labels" .Values.dashboards.labels -}}
{{- range $name, $_ := $labels -}}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" "strimzi.io/cluster") -}}
{{- fail (printf "%s has %s, which the chart itself sets: give another label" $place $name) -}}
{{- end -}}
{{- if and (ne $place "commonLabels") (hasKey $.Values.commonLabels $name) -}}
{{- fail (printf "%s and commonLabels both have %s: give one" $place $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $copies := int (dig "replication_factor" 3 .Values.config.topics) -}}
{{- $insync := int (dig "min_insync_replicas" 2 .Values.config.topics) -}}
{{- if gt $insync $copies -}}
{{- fail (printf "config.topics: min_insync_replicas is %d and replication_factor is %d: give at most so many" $insync $copies) -}}
{{- end -}}
{{- if and (eq (dig "format" "json" .Values.config.output) "avro") (not (dig "url" "" .Values.config.registry)) -}}
{{- fail "config.output: format is avro without a schema registry: give config.registry.url" -}}
{{- end -}}
{{- $url := dig "url" "" .Values.config.registry -}}
{{- if and (hasPrefix "http://" $url) (not .Values.config.insecure) (not (include "meterfold.isLoopback" $url)) -}}
{{- fail (printf "config.registry: url is %s, plain text: give https, or set config.insecure" $url) -}}
{{- end -}}
{{- with dig "password_file" "" .Values.config.registry -}}
{{- if not (include "meterfold.isMounted" (list $.Values.secretFiles .)) -}}
{{- fail (printf "config.registry: password_file is %s, which no entry of secretFiles mounts: secrets appear under /etc/meterfold/secrets/NAME/" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.strimzi.enabled (not .Values.strimzi.cluster) -}}
{{- fail "strimzi is enabled without a cluster: give the name of the Kafka resource in strimzi.cluster" -}}
{{- end -}}
{{- range $label := list "severity" "namespace" "job" -}}
{{- if hasKey $.Values.alerts.extraLabels $label -}}
{{- fail (printf "alerts.extraLabels has %s, which each alert has of its own: leave it out; alerts.severities changes severities" $label) -}}
{{- end -}}
{{- end -}}
{{- $alerts := list -}}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- range .rules -}}
{{- $alerts = append $alerts .alert -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.alerts.severities -}}
{{- if not (has $name $alerts) -}}
{{- fail (printf "alerts.severities: there is no alert %s; files/rules.yaml has them all" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Brokers that the network policy cuts off: the arguments are the place, the properties and the policy. */}}
{{- define "meterfold.refuseUnreached" -}}
{{- $place := index . 0 -}}
{{- $policy := index . 2 -}}
{{- $ports := list -}}
{{- range $policy.kafkaPorts -}}
{{- $ports = append $ports (int . | toString) -}}
{{- end -}}
{{- range splitList "," (dig "bootstrap.servers" "" (index . 1)) -}}
{{- $port := default "9092" (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trim .))) -}}
{{- if and $policy.enabled (trim .) (not (has $port $ports)) -}}
{{- fail (printf "%s: the broker %s is at port %s, which no pod may reach: add it to networkPolicy.kafkaPorts" $place (trim .) $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Properties of a client; kafka is what it gets, files the value by which its secrets are mounted. */}}
{{- define "meterfold.refuseKafka" -}}
{{- $place := .place -}}
{{- $files := .files -}}
{{- range $name := list "sasl.password" "ssl.key.password" "ssl.key.pem" "ssl.keystore.password" "sasl.oauthbearer.client.secret" "sasl.oauthbearer.config" "sasl.oauthbearer.assertion.private.key.pem" "sasl.oauthbearer.assertion.private.key.passphrase" -}}
{{- if hasKey $.kafka $name -}}
{{- fail (printf "%s has %s, a secret: mount it with %s and give its path as %s.file" $place $name $files $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $path := .kafka -}}
{{- if and (hasSuffix ".file" $name) (not (include "meterfold.isMounted" (list $.secretFiles $path))) -}}
{{- fail (printf "%s: %s is %s, which no entry of %s mounts: secrets appear under /etc/meterfold/secrets/NAME/" $place $name $path $files) -}}
{{- end -}}
{{- end -}}
{{- $protocol := lower (dig "security.protocol" "plaintext" .kafka) -}}
{{- if not (has $protocol (list "plaintext" "ssl" "sasl_plaintext" "sasl_ssl")) -}}
{{- fail (printf "%s: security.protocol is %s: give ssl or sasl_ssl" $place $protocol) -}}
{{- end -}}
{{- if and (hasSuffix "plaintext" $protocol) (not .insecure) -}}
{{- range $server := splitList "," (index .kafka "bootstrap.servers") -}}
{{- if not (include "meterfold.isLoopback" (trim $server)) -}}
{{- fail (printf "%s: security.protocol is %s, and %s is beyond the pod: give ssl or sasl_ssl, or set config.insecure" $place $protocol (trim $server)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasPrefix "sasl_" $protocol) (not (index .kafka "sasl.mechanism")) -}}
{{- fail (printf "%s: security.protocol is %s without a sasl.mechanism: give one, such as SCRAM-SHA-512" $place $protocol) -}}
{{- end -}}
{{- $mechanism := dig "sasl.mechanism" "" .kafka -}}
{{- if not (has $mechanism (list "" "PLAIN" "SCRAM-SHA-256" "SCRAM-SHA-512" "OAUTHBEARER")) -}}
{{- fail (printf "%s: sasl.mechanism is %s: give SCRAM-SHA-512, SCRAM-SHA-256, OAUTHBEARER or PLAIN" $place $mechanism) -}}
{{- end -}}
{{- if and (or (hasPrefix "SCRAM-" $mechanism) (eq $mechanism "PLAIN")) (not (index .kafka "sasl.password.file")) -}}
{{- fail (printf "%s: sasl.mechanism is %s without a password: mount it with %s and give sasl.password.file" $place $mechanism $files) -}}
{{- end -}}
{{- $endpoint := dig "sasl.oauthbearer.token.endpoint.url" "" .kafka -}}
{{- if and (eq $mechanism "OAUTHBEARER") (not $endpoint) (not (index .kafka "sasl.oauthbearer.metadata.authentication.type")) -}}
{{- fail (printf "%s: sasl.mechanism is OAUTHBEARER without sasl.oauthbearer.token.endpoint.url: give the URL that hands out tokens" $place) -}}
{{- end -}}
{{- if and (hasPrefix "http://" $endpoint) (not .insecure) -}}
{{- fail (printf "%s: sasl.oauthbearer.token.endpoint.url is %s: give https, or set config.insecure" $place $endpoint) -}}
{{- end -}}
{{- end -}}

{{/* Where an audit's evidence comes from, and who asks for it. */}}
{{- define "meterfold.refuseArchive" -}}
{{- if and .archive .kafka -}}
{{- fail "audit has both archive and kafka: an audit of an archive asks no broker; give one" -}}
{{- end -}}
{{- if and (not .archive) (or .env .envSecrets) -}}
{{- fail "audit has env or envSecrets, which are about a bucket, and no archive: give s3://BUCKET/PREFIX in audit.archive" -}}
{{- end -}}
{{- range $name, $value := .env -}}
{{- if and (regexMatch "SECRET|TOKEN|KEY" $name) (not (regexMatch "_(FILE|ID)$" $name)) -}}
{{- fail (printf "audit.env has %s, a secret: put it into a Secret and name that in audit.envSecrets" $name) -}}
{{- end -}}
{{- if and (hasSuffix "_FILE" $name) (not (include "meterfold.isMounted" (list $.secretFiles $value))) -}}
{{- fail (printf "audit.env: %s is %s, which no entry of audit.secretFiles mounts: secrets appear under /etc/meterfold/secrets/NAME/" $name $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Teams, caches and what waits for a commit are bounded by the program, whatever the limit of the pod. */}}
{{- define "meterfold.refuseMemory" -}}
{{- $asked := .resources.requests.memory -}}
{{- $limit := .resources.limits.memory -}}
{{- if ne $asked $limit -}}
{{- fail (printf "%s: %s of memory are requested and %s is the limit: give both the same, or the node may kill an instance at its peak" .place $asked $limit) -}}
{{- end -}}
{{- if lt (int64 (include "meterfold.kibibytes" $limit)) 1572864 -}}
{{- fail (printf "%s: %s of memory are less than the program may take: give at least 1536Mi" .place $limit) -}}
{{- end -}}
{{- end -}}

{{/* Whether HOST:PORT, of a broker or a URL, is the pod itself. */}}
{{- define "meterfold.isLoopback" -}}
{{- if regexMatch "^([A-Za-z_]+://)?([Ll]ocalhost|127[.][0-9]+[.][0-9]+[.][0-9]+|\\[::1\\])(:[0-9]*)?(/|$)" . -}}yes{{- end -}}
{{- end -}}

{{/* Whether a path lies under a mounted secret: the arguments are the list of secrets and the path. */}}
{{- define "meterfold.isMounted" -}}
{{- $path := index . 1 -}}
{{- range index . 0 -}}
{{- if hasPrefix (printf "/etc/meterfold/secrets/%s/" .name) $path -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* The sum of docs/operate.md, *Size it*, but for ids. The partitions of one instance that is gone are counted. */}}
{{- define "meterfold.refuseWorkers" -}}
{{- $limit := .Values.resources.limits.memory -}}
{{- $workers := int64 .Values.config.workers -}}
{{- $others := max 1 (sub .Values.replicaCount 1) -}}
{{- $partitions := div (add (int64 (dig "partitions" 16 .Values.config.topics)) $others -1) $others -}}
{{- $inputs := mul $partitions (ternary 2 1 (ne (dig "accounts" "accounts" .Values.config.topics) "")) -}}
{{- $fixed := add 70000000 939524096 -}}
{{- $prefetched := max (mul 67108864 $workers) (mul 4194304 $inputs) -}}
{{- $undecoded := mul 8388608 $inputs -}}
{{- $batches := mul (int64 (dig "receive.message.max.bytes" 100000000 .Values.config.kafka)) $workers -}}
{{- $least := div (add $fixed $prefetched $undecoded $batches 1048575) 1048576 -}}
{{- if lt (div (int64 (include "meterfold.kibibytes" $limit)) 1024) $least -}}
{{- fail (printf "resources: %s of memory are less than an instance of config.workers %d with %d partitions may take: give at least %dMi, and room for ids (docs/operate.md, Size it)" $limit $workers $partitions $least) -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.kibibytes" -}}
{{- $unit := get (dict "Ki" 1 "Mi" 1024 "Gi" 1048576 "Ti" 1073741824) (regexFind "[KMGT]i$" .) -}}
{{- mul (int64 (regexFind "^[0-9]+" .)) $unit -}}
{{- end -}}
