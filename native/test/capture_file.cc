// Files written here in every format, byte order and resolution; and broken in every way the catalogue names.
#include "replay/capture_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

using namespace tapline;

namespace {

/// Writes numbers in either byte order.
struct Writer {
  std::string bytes;
  bool swapped = false;

  template <typename T>
  Writer& put(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    if (swapped) std::reverse(raw, raw + sizeof value);
    bytes.append(raw, sizeof value);
    return *this;
  }
  Writer& u16(uint16_t value) { return put(value); }
  Writer& u32(uint32_t value) { return put(value); }
  Writer& u64(uint64_t value) { return put(value); }
  Writer& text(const std::string& text) {
    bytes += text;
    return *this;
  }
  Writer& pad() {
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return *this;
  }

  Writer& pcap(uint32_t magic = 0xA1B2C3D4, uint32_t link = 1, uint32_t snap = 65535, uint16_t major = 2,
               uint16_t minor = 4) {
    return u32(magic).u16(major).u16(minor).u32(0).u32(0).u32(snap).u32(link);
  }
  Writer& record(uint32_t seconds, uint32_t fraction, const std::string& frame, uint32_t wire = 0) {
    const auto length = uint32_t(frame.size());
    return u32(seconds).u32(fraction).u32(length).u32(wire ? wire : length).text(frame);
  }

  Writer& block(uint32_t type, const Writer& body) {
    Writer padded = body;
    padded.pad();
    const auto length = uint32_t(padded.bytes.size() + 12);
    return u32(type).u32(length).text(padded.bytes).u32(length);
  }
  Writer& section(uint16_t major = 1, uint16_t minor = 0) {
    return block(0x0A0D0D0A, body().u32(0x1A2B3C4D).u16(major).u16(minor).u64(~uint64_t{0}));
  }
  Writer& option(uint16_t code, const std::string& value) {
    return u16(code).u16(uint16_t(value.size())).text(value).pad();
  }
  Writer& interface(uint16_t link, uint32_t snap = 0, const std::string& options = "") {
    return block(1, body().u16(link).u16(0).u32(snap).text(options));
  }
  Writer& enhanced(uint32_t id, uint64_t time, const std::string& frame, uint32_t wire = 0) {
    const auto length = uint32_t(frame.size());
    return block(
        6,
        body().u32(id).u32(uint32_t(time >> 32)).u32(uint32_t(time)).u32(length).u32(wire ? wire : length).text(frame));
  }
  Writer body() const { return Writer{.swapped = swapped}; }
};

/// A file that is gone when the test is.
struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& bytes) {
    char name[] = "/tmp/tapline-test-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size()));
    close(fd);
    path = name;
  }
  ~TemporaryFile() { std::filesystem::remove_all(path); }
};

struct Seen {
  std::vector<Record> records;
  std::vector<std::string> frames;
  std::vector<CaptureInterface> interfaces;
  Step last = Step::kEnd;
  FileStatus status;
  uint64_t offset = 0;
  int changes = 0;
};

Seen walk(CaptureFile& file) {
  Seen seen;
  seen.offset = file.first_record();
  for (;;) {
    Record record;
    seen.last = file.next(seen.offset, file.size(), record, seen.status);
    if (seen.last == Step::kChanged) {
      ++seen.changes;
      seen.last = file.apply_change(seen.offset, seen.status);
      if (seen.last == Step::kRecord) continue;
    }
    if (seen.last != Step::kRecord) break;
    seen.records.push_back(record);
    seen.frames.emplace_back(reinterpret_cast<const char*>(record.frame), record.captured);
  }
  seen.interfaces = file.interfaces();
  return seen;
}

Seen read(const std::string& bytes) {
  const TemporaryFile temporary(bytes);
  FileStatus status;
  const auto file = CaptureFile::open(temporary.path.c_str(), status);
  INFO(status.code << " " << status.detail);
  REQUIRE(file);
  return walk(*file);
}

std::string refusal(const std::string& bytes) {
  const TemporaryFile temporary(bytes);
  FileStatus status;
  REQUIRE_FALSE(CaptureFile::open(temporary.path.c_str(), status));
  return status.code;
}
FileStatus refusal_of_path(const std::string& path) {
  FileStatus status;
  REQUIRE_FALSE(CaptureFile::open(path.c_str(), status));
  return status;
}

std::string breakage(const std::string& bytes, uint64_t offset, size_t records = 0) {
  const Seen seen = read(bytes);
  CHECK(seen.last == Step::kBroken);
  CHECK(seen.status.offset == offset);
  CHECK(seen.offset == offset);
  CHECK(seen.records.size() == records);
  return seen.status.code;
}

std::string resolution(uint8_t value) { return Writer{}.option(9, std::string(1, char(value))).bytes; }

}  // namespace

TEST_CASE("pcap in both byte orders and resolutions") {
  for (const bool swapped : {false, true}) {
    for (const bool nano : {false, true}) {
      Writer out{.swapped = swapped};
      out.pcap(nano ? 0xA1B23C4D : 0xA1B2C3D4, 276)
          .record(4'000'000'000, 123'456, "first")
          .record(5, 1, "", 99)
          .record(6, 0, "third");
      const Seen seen = read(out.bytes);
      CHECK(seen.last == Step::kEnd);
      REQUIRE(seen.frames == std::vector<std::string>{"first", "", "third"});
      CHECK(seen.records[0].time_ns == 4'000'000'000'000'000'000 + (nano ? 123'456 : 123'456'000));
      CHECK(seen.records[0].link_type == 276);
      CHECK(seen.records[1].captured == 0);
      CHECK(seen.records[1].wire_length == 99);
      CHECK(seen.interfaces.size() == 1);
      CHECK(seen.offset == out.bytes.size());
    }
  }
}

TEST_CASE("a header alone is a capture without packets") {
  CHECK(read(Writer{}.pcap().bytes).records.empty());
  CHECK(read(Writer{}.section().bytes).records.empty());
  CHECK(read(Writer{}.section().interface(1).bytes).last == Step::kEnd);
}

TEST_CASE("pcapng in both byte orders, with every kind of packet block") {
  for (const bool swapped : {false, true}) {
    Writer out{.swapped = swapped};
    const Writer nano =
        out.body().option(2, "eth0").option(9, "\x09").option(14, out.body().u64(uint64_t(-100)).bytes).u32(0);
    out.section()
        .interface(1, 0, nano.bytes)
        .block(4, out.body().u32(0))
        .interface(113, 4, out.body().option(2, std::string("any\0", 4)).bytes);
    out.enhanced(0, 200'000'000'007, "nano").block(0x0BAD, out.body().u32(1)).enhanced(1, 3'000'001, "micro", 1500);
    out.block(2, out.body().u16(1).u16(7).u32(0).u32(42).u32(3).u32(60).text("old"));
    out.block(3, out.body().u32(6).text("simple"));  // interface 0 has no snap length
    out.block(5, out.body().u32(1).u64(0).option(5, out.body().u64(3).bytes).option(7, out.body().u64(4).bytes));
    out.block(5, out.body().u32(1).u64(0).option(5, out.body().u64(2).bytes));
    const Seen seen = read(out.bytes);
    INFO(seen.status.code << " " << seen.status.detail);
    CHECK(seen.last == Step::kEnd);
    REQUIRE(seen.frames == std::vector<std::string>{"nano", "micro", "old", "simple"});
    CHECK(seen.changes == 0);
    CHECK(seen.records[0].time_ns == 100'000'000'007);
    CHECK(seen.records[1].time_ns == 3'000'001'000);
    CHECK(seen.records[1].interface == 1);
    CHECK(seen.records[1].link_type == 113);
    CHECK(seen.records[1].wire_length == 1500);
    CHECK(seen.records[2].time_ns == 42'000);
    CHECK(seen.records[3].time_ns == 0);
    REQUIRE(seen.interfaces.size() == 2);
    CHECK(seen.interfaces[0].name == "eth0");
    CHECK(seen.interfaces[0].offset_seconds == -100);
    CHECK(seen.interfaces[1].name == "any");
    CHECK(seen.interfaces[1].capture_drops == 7);
  }
}

TEST_CASE("a simple packet is as long as the snap length lets it be") {
  Writer out;
  out.section().interface(1, 4).block(3, out.body().u32(1000).text("four"));
  const Seen seen = read(out.bytes);
  REQUIRE(seen.frames == std::vector<std::string>{"four"});
  CHECK(seen.records[0].wire_length == 1000);
}

TEST_CASE("time resolutions by powers of ten and of two") {
  const auto time = [](uint8_t value, uint64_t units) {
    Writer out;
    out.section().interface(1, 0, resolution(value)).enhanced(0, units, "x");
    return read(out.bytes).records.at(0).time_ns;
  };
  CHECK(time(0, 5) == 5'000'000'000);
  CHECK(time(3, 5) == 5'000'000);
  CHECK(time(12, 1'500'007'999) == 1'500'007);
  CHECK(time(19, 10'000'000'000'000'000'000u) == 1'000'000'000);
  CHECK(time(0x80 | 1, 3) == 1'500'000'000);
  CHECK(time(0x80 | 32, uint64_t{7} << 31) == 3'500'000'000);
  CHECK(time(0x80 | 63, ~uint64_t{0}) == 1'999'999'999);
  CHECK(time(0, ~uint64_t{0}) == int64_t{1} << 62);  // nonsense is kept where arithmetic stays safe
  for (const int value : {20, 127, 0x80 | 64, 0xFF}) {
    Writer out;
    CHECK(refusal(out.section().interface(1, 0, resolution(uint8_t(value))).bytes) == "FILE_BAD_BLOCK");
  }
}

TEST_CASE("later sections bring their byte order and further interfaces, and may be read again") {
  Writer first, second{.swapped = true};
  first.section().interface(1).enhanced(0, 1, "one").interface(101).enhanced(1, 2, "two");
  second.section().interface(113).enhanced(0, 3, "three");
  const TemporaryFile temporary(first.bytes + second.bytes + first.bytes);
  FileStatus status;
  const auto file = CaptureFile::open(temporary.path.c_str(), status);
  REQUIRE(file);
  for (int pass = 0; pass < 2; ++pass) {
    const Seen seen = walk(*file);
    CHECK(seen.last == Step::kEnd);
    CHECK(seen.frames == std::vector<std::string>{"one", "two", "three", "one", "two"});
    std::vector<int> interfaces, links;
    for (const Record& record : seen.records) {
      interfaces.push_back(record.interface);
      links.push_back(record.link_type);
    }
    CHECK(interfaces == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(links == std::vector<int>{1, 101, 113, 1, 101});
    CHECK(seen.interfaces.size() == 5);
    CHECK(seen.changes == 6);
    file->rewind();
  }
}

TEST_CASE("what is no capture file is refused with its own code") {
  CHECK(refusal("") == "FILE_EMPTY");
  CHECK(refusal("\xD4\xC3\xB2") == "FILE_TOO_SHORT");
  const std::string pcap = Writer{}.pcap().bytes, pcapng = Writer{}.section().interface(1, 0, resolution(9)).bytes;
  for (size_t length = 1; length < pcap.size(); ++length) CHECK(refusal(pcap.substr(0, length)) == "FILE_TOO_SHORT");
  for (size_t length = 1; length < pcapng.size(); ++length) {
    if (length != 28) CHECK(refusal(pcapng.substr(0, length)) == "FILE_TOO_SHORT");
  }
  CHECK(refusal("GET / HTTP/1.1\r\n\r\nsomething else") == "FILE_BAD_MAGIC");
  CHECK(refusal(Writer{}.pcap(0xA1B2CD34).bytes) == "FILE_BAD_MAGIC");
  CHECK(refusal(std::string("\x0A\x0D\x0D\x0A", 4) + std::string(60, 'x')) == "FILE_BAD_MAGIC");
  CHECK(refusal(Writer{}.pcap(0xA1B2C3D4, 1, 0, 2, 3).bytes) == "FILE_BAD_VERSION");
  CHECK(refusal(Writer{}.pcap(0xA1B2C3D4, 1, 0, 3, 0).bytes) == "FILE_BAD_VERSION");
  CHECK(refusal(Writer{}.section(2, 0).bytes) == "FILE_BAD_VERSION");
  CHECK(refusal(Writer{}.section().enhanced(0, 1, "no interface").bytes) == "FILE_BAD_BLOCK");
  const TemporaryFile gzip("\x1F\x8B\x08" + std::string(40, '\0'));
  CHECK(refusal_of_path(gzip.path).detail == "1f 8b 08 00 (gzip)");
}

TEST_CASE("what is no file is refused without touching it") {
  CHECK(refusal_of_path("/nonexistent/file").code == std::string("FILE_NOT_FOUND"));
  CHECK(refusal_of_path("").code == std::string("FILE_NOT_FOUND"));
  CHECK(refusal_of_path("/etc/passwd/below").code == std::string("FILE_NOT_FOUND"));
  CHECK(refusal_of_path("/tmp").code == std::string("FILE_IS_DIRECTORY"));
  CHECK(refusal_of_path("/dev/null").code == std::string("FILE_IS_PIPE"));
  const TemporaryFile pipe("x");
  std::filesystem::remove(pipe.path);
  REQUIRE(mkfifo(pipe.path.c_str(), 0600) == 0);
  CHECK(refusal_of_path(pipe.path).code == std::string("FILE_IS_PIPE"));  // and does not wait for a writer
  const TemporaryFile loop("x");
  std::filesystem::remove(loop.path);
  std::filesystem::create_symlink(loop.path, loop.path);
  CHECK(refusal_of_path(loop.path).code == std::string("FILE_UNREADABLE"));
}

TEST_CASE("a file cut anywhere gives the packets before the cut") {
  const std::string pcap = Writer{}.pcap().record(1, 0, "first").record(2, 0, "second").bytes;
  for (size_t length = 24 + 21 + 1; length < pcap.size(); ++length)
    CHECK(breakage(pcap.substr(0, length), 24 + 21, 1) == "FILE_TRUNCATED");
  const std::string head = Writer{}.section().interface(1).enhanced(0, 1, "first").bytes;
  const std::string pcapng = head + Writer{}.enhanced(0, 2, "second").bytes;
  for (size_t length = head.size() + 1; length < pcapng.size(); ++length)
    CHECK(breakage(pcapng.substr(0, length), head.size(), 1) == "FILE_TRUNCATED");
  const std::string section = head + Writer{}.section().bytes;
  for (size_t length = head.size() + 4; length < section.size(); ++length)
    CHECK(breakage(section.substr(0, length), head.size(), 1) == "FILE_TRUNCATED");
}

TEST_CASE("lengths that cannot be") {
  for (const bool swapped : {false, true}) {
    Writer head{.swapped = swapped};
    head.pcap().record(1, 0, "first");
    for (const uint32_t length : {0xFFFFFFFFu, 0x80000000u, 262'145u}) {
      Writer bad = head;
      bad.u32(1).u32(0).u32(length).u32(length).text(std::string(300'000, 'x'));
      CHECK(breakage(bad.bytes, head.bytes.size(), 1) == "FILE_BAD_LENGTH");
    }
  }
  // A snap length above the usual limit raises it.
  CHECK(read(Writer{}.pcap(0xA1B2C3D4, 1, 300'000).record(1, 0, std::string(300'000, 'x')).bytes).last == Step::kEnd);
  // One of 4 GiB does not lift it altogether.
  Writer open_end;
  open_end.pcap(0xA1B2C3D4, 1, 0xFFFFFFFF).u32(1).u32(0).u32(0xFFFFFFF0).u32(0xFFFFFFF0);
  CHECK(breakage(open_end.bytes, 24) == "FILE_BAD_LENGTH");

  const std::string head = Writer{}.section().interface(1).enhanced(0, 1, "first").bytes;
  const auto tail = [&](const Writer& writer) { return breakage(head + writer.bytes, head.size(), 1); };
  CHECK(tail(Writer{}.u32(6).u32(0xFFFFFFFC).text(std::string(64, 'x'))) == "FILE_BAD_LENGTH");
  CHECK(tail(Writer{}.block(6, Writer{}.u32(0).u32(0).u32(0).u32(262'145).u32(60).text(std::string(262'148, 'x')))) ==
        "FILE_BAD_LENGTH");
}

TEST_CASE("damaged blocks") {
  const std::string head = Writer{}.section().interface(1).enhanced(0, 1, "first").bytes;
  const auto tail = [&](const Writer& writer) { return breakage(head + writer.bytes, head.size(), 1); };
  CHECK(tail(Writer{}.u32(6).u32(8).text(std::string(64, 'x'))) == "FILE_BAD_BLOCK");           // shorter than itself
  CHECK(tail(Writer{}.u32(6).u32(33).text(std::string(64, 'x'))) == "FILE_BAD_BLOCK");          // no multiple of 4
  CHECK(tail(Writer{}.u32(6).u32(32).text(std::string(20, 'x')).u32(36)) == "FILE_BAD_BLOCK");  // two lengths
  CHECK(tail(Writer{}.block(6, Writer{}.u32(0).u32(0).u32(0).u32(5).u32(5))) ==
        "FILE_BAD_BLOCK");  // frame beyond its end
  CHECK(tail(Writer{}.block(6, Writer{}.u32(0))) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.block(3, Writer{})) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.block(3, Writer{}.u32(9).text("less"))) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.enhanced(1, 2, "interface 1 is not there")) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.block(1, Writer{}.u32(1))) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.interface(1, 0, Writer{}.u16(2).u16(400).bytes)) ==
        "FILE_BAD_BLOCK");  // an option beyond its end
  CHECK(tail(Writer{}.block(0x0A0D0D0A, Writer{}.text(std::string(16, 'x')))) == "FILE_BAD_BLOCK");
  CHECK(tail(Writer{}.section(7)) == "FILE_BAD_VERSION");
}

TEST_CASE("a boundary is guessed only where records really start") {
  Writer pcap, swapped{.swapped = true}, pcapng;
  pcap.pcap(), swapped.pcap(0xA1B23C4D), pcapng.section().interface(1);
  std::vector<uint64_t> starts[3];
  for (uint32_t i = 0; i < 300; ++i) {
    std::string frame(40 + i * 7 % 900, '\0');
    for (size_t at = 0; at < frame.size(); ++at) frame[at] = char(at % 5 == 0 ? 0 : at * i);
    starts[0].push_back(pcap.bytes.size());
    pcap.record(1'700'000'000 + i, i, frame);
    starts[1].push_back(swapped.bytes.size());
    swapped.record(1'700'000'000 + i, i, frame);
    starts[2].push_back(pcapng.bytes.size());
    pcapng.enhanced(0, 1'700'000'000'000'000 + i, frame);
  }
  const std::string* files[] = {&pcap.bytes, &swapped.bytes, &pcapng.bytes};
  for (int i = 0; i < 3; ++i) {
    const TemporaryFile temporary(*files[i]);
    FileStatus status;
    const auto file = CaptureFile::open(temporary.path.c_str(), status);
    REQUIRE(file);
    const uint64_t size = file->size();
    for (uint64_t from = 0; from < size; from += 97) {
      const auto next = std::lower_bound(starts[i].begin(), starts[i].end(), from);
      const uint64_t want = next == starts[i].end() ? size : *next;
      CHECK(file->guess_boundary(from, size) == want);
      CHECK(file->guess_boundary(from, from + 1) == (want == from ? from : from + 1));
    }
    CHECK(file->guess_boundary(size, size + 50) == size + 50);
    CHECK(file->populate(0, size));
    file->warm(file->first_record(), size);
    file->warm(size - 3, size);
    CHECK(walk(*file).records.size() == 300);
  }
}

TEST_CASE("a cursor stops at the first boundary at or past its end") {
  const TemporaryFile temporary(Writer{}.pcap().record(1, 0, "first").record(2, 0, "second").bytes);
  FileStatus status;
  const auto file = CaptureFile::open(temporary.path.c_str(), status);
  uint64_t offset = 24;
  Record record;
  CHECK(file->next(offset, 25, record, status) == Step::kRecord);
  CHECK(offset == 45);
  CHECK(file->next(offset, 45, record, status) == Step::kEnd);
  CHECK(file->next(offset, ~uint64_t{0}, record, status) == Step::kRecord);
  CHECK(file->next(offset, ~uint64_t{0}, record, status) == Step::kEnd);
}

TEST_CASE("a file that shrinks is noticed before it is touched") {
  const TemporaryFile temporary(Writer{}.pcap().record(1, 0, std::string(100'000, 'x')).bytes);
  FileStatus status;
  const auto file = CaptureFile::open(temporary.path.c_str(), status);
  CHECK(file->populate(0, 50'000));
  REQUIRE(truncate(temporary.path.c_str(), 60'000) == 0);
  CHECK(file->populate(0, 50'000));
  CHECK_FALSE(file->populate(50'000, 50'000));
  CHECK_FALSE(file->populate(90'000, 10));
}
