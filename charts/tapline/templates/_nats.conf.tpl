{{/*
The server's configuration. Rights are those of bus/README.md, with every node's in one user for a role: `*` in place of pool and node.
So a sensor's login could speak for another sensor, and no role for another role; plans are signed, and only the operator's login writes them.
*/}}
{{- define "tapline.natsConfig" -}}
{{- $fleet := .Values.fleet -}}
{{- $plans := printf "tapline-plans-%s" $fleet -}}
{{- $findings := printf "TAPLINE-FINDINGS-%s" $fleet -}}
server_name: {{ include "tapline.fullname" . }}-nats
host: {{ .Values.listen | quote }}
port: 4222
http: {{ ternary "[::]:8222" "0.0.0.0:8222" (eq .Values.listen "::") | quote }}
max_payload: 4MB
jetstream {
  store_dir: /data
  max_memory_store: 64MB
  max_file_store: {{ div (mul .Values.nats.storage.sizeGiB 1024 9) 10 }}MB
}
tls {
  cert_file: /etc/nats/tls.crt
  key_file: /etc/nats/tls.key
}
# operator_password, sensor_password, relay_password, console_password
include ./passwords.conf
authorization {
  users: [
    { user: operator, password: $operator_password, permissions: {
        publish: [ "$KV.{{ $plans }}.>", "$O.{{ $plans }}.>", "tapline.{{ $fleet }}.query.>", "$SRV.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.*.KV_{{ $plans }}", "$JS.API.STREAM.*.OBJ_{{ $plans }}",
                   "$JS.API.STREAM.MSG.*.KV_{{ $plans }}", "$JS.API.STREAM.MSG.*.OBJ_{{ $plans }}", "$JS.API.DIRECT.GET.KV_{{ $plans }}.>", "$JS.API.DIRECT.GET.OBJ_{{ $plans }}.>",
                   "$JS.API.CONSUMER.*.KV_{{ $plans }}", "$JS.API.CONSUMER.*.KV_{{ $plans }}.>", "$JS.API.CONSUMER.*.OBJ_{{ $plans }}", "$JS.API.CONSUMER.*.OBJ_{{ $plans }}.>", "$JS.FC.>",
                   "$JS.API.STREAM.*.{{ $findings }}" ]
        subscribe: [ "tapline.{{ $fleet }}.report.>", "_INBOX.tapline.{{ $fleet }}.operator.>" ] } }
    { user: sensor, password: $sensor_password, permissions: {
        publish: [ "tapline.{{ $fleet }}.report.sensor.*.*", "tapline.{{ $fleet }}.finding.*.*", "$JS.API.STREAM.CREATE.{{ $findings }}" ]
        subscribe: { allow: [ "tapline.{{ $fleet }}.query.*.*", "_INBOX.tapline.{{ $fleet }}.sensor.>", "$SRV.>" ], deny: [ "tapline.{{ $fleet }}.query.$relay.*" ] }
        allow_responses: { max: 1, expires: "1m" } } }
    { user: relay, password: $relay_password, permissions: {
        publish: [ "tapline.{{ $fleet }}.report.relay.*", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.KV_{{ $plans }}", "$JS.API.STREAM.INFO.OBJ_{{ $plans }}",
                   "$JS.API.CONSUMER.CREATE.KV_{{ $plans }}.>", "$JS.API.CONSUMER.DELETE.KV_{{ $plans }}.>", "$JS.API.STREAM.MSG.GET.OBJ_{{ $plans }}",
                   "$JS.API.DIRECT.GET.OBJ_{{ $plans }}.>", "$JS.API.CONSUMER.CREATE.OBJ_{{ $plans }}", "$JS.API.CONSUMER.DELETE.OBJ_{{ $plans }}.>", "$JS.FC.>" ]
        subscribe: [ "tapline.{{ $fleet }}.query.$relay.*", "_INBOX.tapline.{{ $fleet }}.relay.>", "$SRV.>" ]
        allow_responses: { max: 1, expires: "1m" } } }
    { user: console, password: $console_password, permissions: {
        publish: [ "tapline.{{ $fleet }}.query.>", "$SRV.>", "$JS.API.STREAM.INFO.{{ $findings }}", "$JS.API.CONSUMER.*.{{ $findings }}.>",
                   "$JS.API.CONSUMER.MSG.NEXT.{{ $findings }}.>", "$JS.ACK.{{ $findings }}.>" ]
        subscribe: [ "tapline.{{ $fleet }}.report.>", "_INBOX.console.>" ] } }
  ]
}
{{- end -}}
