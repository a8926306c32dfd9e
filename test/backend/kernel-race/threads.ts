/** Threads that serve a guest, without threads: steps are carried out at once, and what they touch is told. */
import type { Piscina } from 'piscina';
import type { GuestTask, ToWorker, WorkerTask } from '../../../workers/messages.ts';
import { createActor } from 'xstate';
import { functionMachine } from '../../../machines/function.ts';
import { snapshotOf } from '../assignment.ts';

export interface Touched {
  /** A step with a function or the page of the guest. */
  touched(what: string): void;
  ring(has: boolean): void;
  moved(): void;
}

export function threads(world: Touched): Piscina<WorkerTask, void> {
  const run = ({ domid, port }: GuestTask): Promise<void> =>
    new Promise((resolve) => {
      port.on('message', (message: ToWorker) => {
        world.moved();
        if (message.do === 'bind' || message.do === 'release' || message.do === 'connect')
          world.touched(message.do);
        if (message.do === 'connect') {
          world.ring(true);
          port.postMessage({ is: 'bound', ring: message.ring, localPort: 2 });
        }
        if (message.do === 'disconnect' || message.do === 'end') world.ring(false);
        if (message.do === 'bind') {
          const { sbdf, guestAddress } = message.assignment;
          const snapshot = snapshotOf(sbdf, domid, 'bound', guestAddress);
          port.postMessage({ is: 'function', sbdf, from: 'hidden', to: 'bound', cause: 'bind', snapshot });
        }
        if (message.do === 'release') {
          for (const sbdf of message.sbdfs) {
            const snapshot = createActor(functionMachine, { input: { sbdf } }).getPersistedSnapshot();
            port.postMessage({
              is: 'function',
              sbdf,
              from: 'bound',
              to: 'hidden',
              cause: 'release',
              snapshot,
            });
          }
        }
        port.postMessage({ is: 'done', id: message.id });
        if (message.do !== 'end') return;
        port.close();
        resolve();
      });
      port.postMessage({ is: 'started', threadId: 0 });
    });
  return { run, threads: [] } as unknown as Piscina<WorkerTask, void>;
}
