/** What a front-end reads from the back-end's directory. */
import { parseSbdf, parseVdev, type Sbdf } from '../address.ts';
import { parseDecimal } from '../xenbus/text.ts';
import { parseXenbusState, XenbusState } from '../xenbus/state.ts';
import { defaultRoot, parseRoot, type RootBus } from './scan.ts';

type Read = (key: string) => Promise<string | undefined>;

/** More buses or functions than these make no sense, whoever writes the keys. */
const mostRoots = 256;
const mostFunctions = 256;

/** A key of the back-end's directory cannot be used. Linux's pcifront takes this for a fatal error. */
export class BackendKeyError extends Error {
  override readonly name = 'BackendKeyError';
}

/** The root buses; a back-end that does not say has one, 0000:00. Throws BackendKeyError. */
export async function readRoots(read: Read): Promise<RootBus[]> {
  const count = await read('root_num');
  if (count === undefined) return [defaultRoot];
  const total = parseDecimal(count, mostRoots);
  if (total === undefined) throw new BackendKeyError(`root_num is ${JSON.stringify(count)}`);
  return Promise.all(
    Array.from({ length: total }, async (_, k) => {
      const text = await read(`root-${k}`);
      const root = parseRoot(text);
      if (!root) throw new BackendKeyError(`root-${k} is ${JSON.stringify(text)}`);
      return root;
    }),
  );
}

export interface ListedFunction {
  /** The host's address, undefined when the key cannot be read. */
  readonly host: Sbdf | undefined;
  /** The address on this guest's bus, undefined when the back-end has not published one. */
  readonly guest: Sbdf | undefined;
  readonly state: XenbusState;
}

/** The functions that the back-end's directory lists, in its order. Throws BackendKeyError. */
export async function readFunctions(read: Read): Promise<ListedFunction[]> {
  const count = await read('num_devs');
  const total = parseDecimal(count, mostFunctions);
  if (total === undefined) throw new BackendKeyError(`num_devs is ${JSON.stringify(count)}`);
  return Promise.all(
    Array.from({ length: total }, async (_, index) => {
      const [host, guest, state] = await Promise.all(
        ['dev', 'vdev', 'state'].map((key) => read(`${key}-${index}`)),
      );
      return {
        host: host === undefined ? undefined : parseSbdf(host),
        guest: guest === undefined ? undefined : parseVdev(guest),
        state: parseXenbusState(state),
      };
    }),
  );
}

/** Guest addresses of the functions that are being taken away. */
export async function readClosingFunctions(read: Read): Promise<Sbdf[]> {
  const functions = await readFunctions(read);
  return functions.flatMap(({ guest, state }) =>
    state === XenbusState.Closing && guest !== undefined ? [guest] : [],
  );
}
