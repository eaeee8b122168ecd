// The Prometheus Operator's definitions, for the schemas of what the chart writes for it. Nothing is built from this.
module tapline.dev/chart

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
