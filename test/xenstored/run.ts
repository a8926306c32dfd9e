/** `npm run test:xenstored`: our server with stock clients, our client with stock servers, our server beside the stock one. */
import { checkClient } from './client.ts';
import { checkAgreement } from './agreement.ts';
import { summarise } from './harness.ts';
import { LabRefusal, prepareLab } from './lab.ts';
import { checkStockTools } from './stock-tools.ts';

try {
  await prepareLab();
} catch (error) {
  if (!(error instanceof LabRefusal)) throw error;
  console.error(`test:xenstored cannot run here: ${error.message}`);
  summarise();
  process.exit(3);
}
await checkStockTools();
await checkClient();
await checkAgreement();
process.exit(summarise().failed === 0 ? 0 : 1);
