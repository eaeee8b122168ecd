#include "capture/filter.h"

#include <linux/filter.h>
#include <pcap/pcap.h>

#include <memory>

namespace tapline {

Filter::Filter() = default;
Filter::~Filter() = default;
const sock_fprog* Filter::program() const noexcept { return program_.get(); }

namespace {
using Handle = std::unique_ptr<pcap_t, void (*)(pcap_t*)>;

CaptureStatus compiled(pcap_t* handle, const std::string& text, std::vector<sock_filter>& code) {
  bpf_program program{};
  if (pcap_compile(handle, &program, text.c_str(), 1, PCAP_NETMASK_UNKNOWN))
    return {"FILTER_BPF_INVALID", pcap_geterr(handle)};
  for (unsigned i = 0; i < program.bf_len; i++) {
    const bpf_insn& from = program.bf_insns[i];
    code.push_back(sock_filter{from.code, from.jt, from.jf, from.k});
  }
  pcap_freecode(&program);
  return {};
}

CaptureStatus compiled_anywhere(const std::string& text, std::vector<sock_filter>& code) {
  const Handle handle(pcap_open_dead(DLT_EN10MB, 65535), pcap_close);
  if (!handle) return {"OUT_OF_MEMORY", "libpcap"};
  return compiled(handle.get(), text, code);
}
}  // namespace

CaptureStatus Filter::check(const std::string& text) {
  std::vector<sock_filter> unused;
  return text.empty() ? CaptureStatus{} : compiled_anywhere(text, unused);
}

CaptureStatus Filter::compile(const std::string& interface, const std::string& text) {
  if (text.empty()) return {};
  CaptureStatus status;
  if (text.find("vlan") == std::string::npos) {
    status = compiled_anywhere(text, code_);
  } else {
    // A live handle, for only that makes libpcap ask for the tag beside the frame. It costs a socket, and tens of
    // milliseconds to close it.
    char problem[PCAP_ERRBUF_SIZE] = "";
    const Handle handle(pcap_create(interface.c_str(), problem), pcap_close);
    if (!handle) return {"CAPTURE_FAILED", problem};
    pcap_set_snaplen(handle.get(), 256);
    pcap_set_buffer_size(handle.get(), 64 << 10);
    if (pcap_activate(handle.get()) < 0) return {"CAPTURE_FAILED", pcap_geterr(handle.get())};
    status = compiled(handle.get(), text, code_);
  }
  if (status.ok())
    program_ = std::make_unique<sock_fprog>(sock_fprog{static_cast<uint16_t>(code_.size()), code_.data()});
  return status;
}

}  // namespace tapline
