// The next packets of one rule, told one by one. Off, it costs a comparison; on, a record is made on this CPU and
// handed over whole.
#pragma once
#include "relay_match.h"

static __always_inline int is_traced(const struct relay_settings* settings, __u32 rule) {
  return settings->traced == (__u64)rule + 1;
}

/// False: enough were traced.
static __noinline int trace_begin(const struct packet* p, __u32 rule) {
  const __u32 zero = 0;
  struct relay_tracing* asked = bpf_map_lookup_elem(&tracing, &zero);
  struct relay_scratch* s = scratch_here();
  if (!asked || !s || !p) return 0;
  if (asked->left <= 0 || __sync_fetch_and_add(&asked->left, -1) <= 0) return 0;
  s->trace.at_ns = bpf_ktime_get_ns();
  s->trace.rule = rule;
  s->trace.length = p->length;
  s->trace.refused = 0;
  s->trace.outputs = 0;
  s->trace.ttl = p->ttl;
  s->trace.family = p->family;
  s->trace.source = p->source;
  return 1;
}

static __noinline int trace_output(__u32 slot, __u32 verdict) {
  struct relay_scratch* s = scratch_here();
  if (!s) return 0;
  const __u32 n = s->trace.outputs;
  if (n >= RELAY_MAX_OUTPUTS) return 0;
  s->trace.output[n].slot = slot;
  s->trace.output[n].verdict = verdict;
  s->trace.outputs = n + 1;
  return 0;
}

static __noinline int trace_end(__u32 refused) {
  struct relay_scratch* s = scratch_here();
  if (!s) return 0;
  s->trace.refused = refused;
  bpf_ringbuf_output(&traces, &s->trace, sizeof s->trace, 0);
  return 0;
}

static __always_inline void trace_refused(const struct relay_settings* settings, const struct packet* p, __u32 rule,
                                          __u32 reason) {
  if (is_traced(settings, rule) && trace_begin(p, rule)) trace_end(reason + 1);
}
