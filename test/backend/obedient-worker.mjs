/** Serves nobody: says where it is and what it was given to resume, and does what it is told. Loading it can be held up. */
import { BroadcastChannel, threadId } from 'node:worker_threads';

const gate = process.env['PCIBACK_TEST_GATE'];
if (gate) {
  const channel = new BroadcastChannel(gate);
  await new Promise((resolve) => {
    channel.addEventListener('message', resolve);
    channel.postMessage('loading');
  });
  channel.close();
}

export default function serveGuest({ port, resume }) {
  return new Promise((resolve) => {
    port.postMessage({ is: 'started', threadId });
    if (resume) {
      port.postMessage({ is: 'abandoned', times: 1 });
      port.postMessage({ is: 'abandoned', times: 10 });
      const functions = resume.assignments.map(({ sbdf }) => sbdf);
      port.postMessage({ is: 'resumed', functions, hasRing: true });
    }
    port.on('message', ({ do: step, id }) => {
      // As when its thread begins to end: the port is closed, and the task is not over yet.
      if (step === 'quiesce') return port.close();
      port.postMessage({ is: 'storm', wakeups: id, times: 1 });
      port.postMessage({ is: 'done', id });
      if (step !== 'end') return;
      port.close();
      resolve();
    });
  });
}
