{{/* What the schema cannot say, or not so that a person understands. All that is wrong is told at once. */}}
{{- define "tapline.checks" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" $v.fleet) -}}
{{- $wrong = append $wrong (printf "fleet: %q must be small letters, digits and inner hyphens: it becomes part of subjects and of names" $v.fleet) -}}
{{- end -}}
{{- range $path, $image := dict "image" $v.image "nats.image" $v.nats.image -}}
{{- if eq $image.tag "latest" -}}
{{- $wrong = append $wrong (printf "%s.tag: latest is a different program every day, and two nodes may run two of them; name a version, or a digest" $path) -}}
{{- end -}}
{{- if and $image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $image.digest)) -}}
{{- $wrong = append $wrong (printf "%s.digest: %q must be sha256: and 64 hexadecimal digits, as `docker buildx imagetools inspect` shows" $path $image.digest) -}}
{{- end -}}
{{- if regexMatch "[:@]" $image.repository -}}
{{- $wrong = append $wrong (printf "%s.repository: %q must be the name alone; tag and digest have keys of their own" $path $image.repository) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^https?://|/$" $v.imageRegistry -}}
{{- $wrong = append $wrong (printf "imageRegistry: %q must be a host, perhaps with port and path, without https:// and without / at its end" $v.imageRegistry) -}}
{{- end -}}
{{- if $v.console.enabled -}}
{{- $wrong = append $wrong "console.enabled: this version has no console yet; leave it false. Until then: kubectl get sensorpools,relayrules,fleetnodes, and the dashboards of monitoring.dashboards" -}}
{{- end -}}
{{- $profile := $v.agents.seccomp.localhostProfile -}}
{{- if and (eq $v.agents.seccomp.type "Localhost") (not $profile) -}}
{{- $wrong = append $wrong "agents.seccomp.localhostProfile: is needed with type Localhost: the file below the kubelet's folder of profiles, as profiles/tapline.json" -}}
{{- end -}}
{{- if and (ne $v.agents.seccomp.type "Localhost") $profile -}}
{{- $wrong = append $wrong "agents.seccomp.localhostProfile: has no effect without agents.seccomp.type=Localhost" -}}
{{- end -}}
{{- if or (hasPrefix "/" $profile) (contains ".." $profile) -}}
{{- $wrong = append $wrong (printf "agents.seccomp.localhostProfile: %q must lie below the kubelet's folder: no / at its start, no .." $profile) -}}
{{- end -}}
{{- range $url := $v.nats.url -}}
{{- if not (regexMatch "^(nats|tls)://" $url) -}}
{{- $wrong = append $wrong (printf "nats.url: %q must start with nats:// or tls://, as tls://nats.example.com:4222" $url) -}}
{{- else if contains "@" $url -}}
{{- $wrong = append $wrong "nats.url: must not contain a user or password, since addresses are logged: put them into the Secrets of nats.secrets" -}}
{{- end -}}
{{- end -}}
{{- if $v.nats.url -}}
{{- range $role := list "operator" "sensor" "relay" "console" -}}
{{- if not (index $v.nats.secrets $role) -}}
{{- $wrong = append $wrong (printf "nats.secrets.%s: is needed with nats.url: a Secret with the key %s. README.md has the rights that each role needs" $role $v.nats.login) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range $role, $secret := $v.nats.secrets -}}
{{- if $secret -}}
{{- $wrong = append $wrong (printf "nats.secrets.%s: belongs to a NATS of your own: set nats.url too. For its own NATS the chart makes the Secrets" $role) -}}
{{- end -}}
{{- end -}}
{{- if ne $v.nats.login "user" -}}
{{- $wrong = append $wrong (printf "nats.login: %s belongs to a NATS of your own: set nats.url too" $v.nats.login) -}}
{{- end -}}
{{- if and (eq $v.nats.storage.type "EmptyDir") $v.nats.storage.className -}}
{{- $wrong = append $wrong "nats.storage.className: has no effect with nats.storage.type=EmptyDir" -}}
{{- end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.nats.url) (not $v.networkPolicy.nodes) -}}
{{- $wrong = append $wrong "networkPolicy.nodes: is needed with networkPolicy.enabled: sensors and relays use the node's own network, no policy selects them, and NATS would refuse them. `kubectl get nodes -o wide` shows the addresses; give them as [10.0.0.0/16]" -}}
{{- end -}}
{{- range $cidr := $v.networkPolicy.nodes -}}
{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])|[0-9a-fA-F:]*:[0-9a-fA-F:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$" $cidr) -}}
{{- $wrong = append $wrong (printf "networkPolicy.nodes: %q must be addresses with their prefix, as 10.0.0.0/16 or fd00::/64; one address is 10.0.0.1/32" $cidr) -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.crds.enabled) (not $v.crds.keep) -}}
{{- $wrong = append $wrong "crds.keep: false has no effect without crds.enabled: this release does not own the definitions, and will not remove them" -}}
{{- end -}}
{{- if not (regexMatch "^[1-9][0-9]*(ms|s|m|h)$" $v.monitoring.interval) -}}
{{- $wrong = append $wrong (printf "monitoring.interval: %q must be a duration with its unit, as 30s or 1m" $v.monitoring.interval) -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot be:\n  - %s\nAll keys: helm show values, or charts/tapline/README.md\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
