/** Plays scenes in a process that finds the fake libraries: program.ts SCENES, a JSON text; prints what came of each. */
import { Hypervisor } from '../../../src/host/hypervisor.ts';
import type { Ring } from '../../../src/host/platform.ts';
import { PcibackError } from '../../../src/errors.ts';
import type { Outcome, Scene } from './scenes.ts';

const revive = (_key: string, value: unknown): unknown =>
  typeof value === 'string' && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value;

const refusalOf = (error: unknown): Outcome => {
  if (!(error instanceof PcibackError)) return { refused: String(error), message: '', remedy: '' };
  return { refused: error.reason, message: error.message, remedy: error.remedy };
};

async function play({ root, journal, script, calls }: Scene): Promise<Outcome> {
  process.env['FAKE_XEN_JOURNAL'] = journal;
  process.env['FAKE_XEN_SCRIPT'] = script;
  let hypervisor;
  try {
    hypervisor = Hypervisor.xen(root);
    const results = [];
    for (const [name, ...values] of calls) results.push(await call(hypervisor, name, values));
    return { results };
  } catch (error) {
    return refusalOf(error);
  } finally {
    hypervisor?.close();
  }
}

async function call(hypervisor: Hypervisor, name: string, values: readonly unknown[]): Promise<unknown> {
  if (name === 'serve') return serve(hypervisor);
  const methods = hypervisor as unknown as Record<string, (...values: readonly unknown[]) => unknown>;
  return methods[name]?.call(hypervisor, ...values);
}

/** The life of a ring: woken once at first, and once after it is rearmed. */
async function serve(hypervisor: Hypervisor): Promise<readonly unknown[]> {
  let woken: () => void = () => undefined;
  const wake = (): Promise<void> => new Promise((resolve) => (woken = resolve));
  const first = wake();
  const ring: Ring = hypervisor.openRing(5, 8, 9, () => woken());
  await first;
  const seen = [ring.localPort, ring.look(1), ring.answer(-5, 0xabcd, 0)];
  const second = wake();
  ring.rearm();
  await second;
  ring.notify();
  ring.close();
  return seen;
}

const outcomes: Outcome[] = [];
for (const scene of JSON.parse(process.argv[2] ?? '[]', revive) as Scene[]) outcomes.push(await play(scene));
process.stdout.write(JSON.stringify(outcomes));
