// The directory that stands for a hypervisor, as other programs know it too:
//
//     dom/<domid>               text "running", "shutdown <code>" or "dying"; no file: no domain
//     gnt/<domid>/<ref>         4096-byte file, mapped shared: the page that <domid> granted as <ref>
//     evt/<domid>/<port>        FIFO; a byte in it: the event is pending on that port
//     evt/<domid>/<port>.peer   text "<domid> <port>": the other end of the channel
//     evt/<domid>/pirq<n>       FIFO; a byte in it: the interrupt is pending
//
// Guests own their subdirectories and may put anything there, so no symbolic link is followed below the root, and a file
// is used only when it is of the kind that belongs in its place.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "failure.h"
#include "fd.h"
#include "platform.h"

namespace pciback {

struct Peer {
  uint32_t domid = 0;
  uint32_t port = 0;
};

class LoopbackDirectory {
 public:
  static Failure open(const std::string& path, LoopbackDirectory* out);

  Failure open_page(uint32_t domid, uint32_t ref, Fd* out) const;
  // Makes a page under the first free number from `*ref`.
  Failure create_page(uint32_t domid, uint32_t* ref, Fd* out) const;
  void remove_page(uint32_t domid, uint32_t ref) const;

  Failure open_port(uint32_t domid, uint32_t port, Fd* out) const;
  // Makes a FIFO under the first free number from `*port`.
  Failure create_port(uint32_t domid, uint32_t* port, Fd* out) const;
  // Removes the FIFO and what names its other end.
  void remove_port(uint32_t domid, uint32_t port) const;

  Failure open_pirq(uint32_t domid, uint32_t pirq, Fd* out) const;
  Failure create_pirq(uint32_t domid, uint32_t pirq, Fd* out) const;
  void remove_pirq(uint32_t domid, uint32_t pirq) const;

  Failure write_peer(uint32_t domid, uint32_t port, Peer peer) const;
  Failure read_peer(uint32_t domid, uint32_t port, Peer* out) const;
  // Changes whenever the peer file is replaced. False when there is none.
  bool stat_peer(uint32_t domid, uint32_t port, struct stat* out) const;

  Failure read_domain(uint32_t domid, DomainState* out) const;

  // A domain that joins makes its own subdirectories.
  Failure create_domain(uint32_t domid) const;

 private:
  Failure enter(const char* kind, uint32_t domid, Fd* out) const;
  Failure open_fifo(uint32_t domid, const std::string& name, Fd* out) const;

  Fd root_;
};

// Empties a FIFO as far as its usual capacity; how many bytes were in it.
uint32_t drain_fifo(int fd);
// Makes the event of a FIFO pending. A full FIFO is pending already.
void signal_fifo(int fd);

// "0" or digits without a leading zero, up to `limit`; nothing else.
bool parse_decimal(std::string_view text, uint32_t limit, uint32_t* out);
// "<domid> <port>", a newline may follow.
bool parse_peer(std::string_view text, Peer* out);

}  // namespace pciback
