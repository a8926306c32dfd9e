/** Takes a guest on, and ends the thread. */
export default function serveGuest() {
  process.exit(1);
}
