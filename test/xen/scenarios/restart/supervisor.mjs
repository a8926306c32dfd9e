// A dom0 supervisor that embeds the back-end, and each time it gets SIGUSR1 ends the thread that serves the guest that its argument names.
import { PciBackend } from 'file:///opt/pciback/dist/src/index.js';

const backend = new PciBackend({ platform: { kind: 'xen' }, controlSocket: '/run/pciback/control.sock' });
backend.events$.subscribe((event) => console.log(JSON.stringify(event)));
process.on('SIGUSR1', () => void backend.killWorker(Number(process.argv[2])));
process.on('SIGTERM', () => void backend.stop());
await backend.start();
