import type { Socket } from 'node:net';
import type { Observable, Subscription } from 'rxjs';
import type { ControlReply } from './control-line.ts';

/** Bytes that may wait for a slow reader. */
const mostPending = 0x4_0000;

/** Passes a stream on to a client, and no more of it than the client reads. */
export function pour(stream: Observable<unknown>, id: number, socket: Socket): Subscription {
  let dropped = 0;
  const write = (reply: ControlReply): boolean => socket.write(`${JSON.stringify(reply)}\n`);
  const tellOfDropped = (): void => {
    if (dropped === 0) return;
    write({ id, dropped });
    dropped = 0;
  };
  socket.on('drain', tellOfDropped);
  return stream.subscribe({
    next: (event) => {
      if (socket.writableLength > mostPending) {
        dropped += 1;
        return;
      }
      tellOfDropped();
      write({ id, event });
    },
    complete: () => {
      tellOfDropped();
      write({ id, result: null });
    },
  });
}
