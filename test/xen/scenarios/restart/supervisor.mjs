// A dom0 supervisor that embeds the back-end. With each SIGUSR1 it ends the threads that serve guests, in the middle of whatever they do.
import { PciBackend } from 'file:///opt/pciback/dist/src/index.js';

const backend = new PciBackend({
  platform: { kind: 'xen', directory: '/run/pciback' },
  controlSocket: '/run/pciback/control.sock',
});
backend.events$.subscribe((event) => console.log(JSON.stringify(event)));
process.on('SIGUSR1', () => {
  for (const { domid } of backend.status().guests) void backend.killWorker(domid);
});
process.on('SIGTERM', () => void backend.stop());
await backend.start();
