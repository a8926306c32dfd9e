/** What is known of a function that was taken from the host: what it was before, and where it stands now. Plain data: it is stored. */
import { type Snapshot, createActor } from 'xstate';
import {
  type FunctionContext,
  type FunctionState,
  functionMachine,
  functionState,
} from '../../machines/function.ts';
import { type Sbdf, formatSbdf } from '../address.ts';
import type { Taken } from '../host/platform.ts';
import type { FilterMode, Seized } from '../config-space/index.ts';

export interface Entry extends Taken {
  readonly seized: Seized;
  readonly snapshot: Snapshot<unknown>;
  /** How far its guest is trusted, or the next one will be: until the function is given back. */
  readonly mode: FilterMode;
  /** The domain that was given it last (`Platform.domainIdentity`), until it is hidden again; undefined when that is not known. */
  readonly domain?: string | null | undefined;
  /** It is being taken from its guest: noted before its worker begins with that. */
  readonly isLeaving?: boolean;
  /** While it is being reset; RFC 3339, UTC. */
  readonly resettingSince?: string | null;
}

interface StoredSnapshot {
  readonly value: unknown;
  readonly context: FunctionContext;
}

const stored = (entry: Entry): StoredSnapshot => entry.snapshot as unknown as StoredSnapshot;
export const stateOf = (entry: Entry): FunctionState => functionState(stored(entry).value);
export const contextOf = (entry: Entry): FunctionContext => stored(entry).context;

/** The states in which a function may be stored, as its machine writes them. */
const values: ReadonlySet<string> = new Set<FunctionState>([
  'hidden',
  'binding',
  'bound',
  'connected',
  'connected.flr',
  'connected.dead',
  'reset',
  'quarantined',
]);

type Fields = Readonly<Record<string, unknown>>;
const isRecord = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isNumberOrNull = (value: unknown): boolean => value === null || isNumber(value);
const isTextOrNull = (value: unknown): boolean => value === null || typeof value === 'string';
const isResource = (value: unknown): boolean =>
  isRecord(value) && isNumber(value['index']) && [value['start'], value['size']].every(isAmount);
/** MessagePack brings small ones back as numbers. */
const isAmount = (value: unknown): boolean => typeof value === 'bigint' || isNumber(value);
const isListOf = (value: unknown, isOne: (each: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(isOne);

const isFacts = (facts: unknown): boolean =>
  isRecord(facts) &&
  [facts['sbdf'], facts['vendor'], facts['device'], facts['classCode'], facts['irq']].every(isNumber) &&
  facts['config'] instanceof Uint8Array &&
  isListOf(facts['resources'], isResource) &&
  isListOf(facts['resetMethods'], (method) => typeof method === 'string') &&
  isNumberOrNull(facts['physicalFunction']) &&
  isTextOrNull(facts['driver']);

const isFormer = (former: unknown): boolean =>
  former === null || (isRecord(former) && isTextOrNull(former['formerDriver']));

const isSeized = (seized: unknown): boolean =>
  isRecord(seized) &&
  seized['config'] instanceof Uint8Array &&
  (seized['config'].length === 256 || seized['config'].length === 4096) &&
  isNumber(seized['irq']) &&
  isListOf(seized['resources'], isResource);

const isMode = (mode: unknown): boolean => isRecord(mode) && isListOf(mode['quirks'], isRecord);

function isSnapshot(snapshot: unknown, sbdf: unknown): boolean {
  if (!isRecord(snapshot)) return false;
  const { value, context } = snapshot;
  if (typeof value !== 'string' && !isRecord(value)) return false;
  return (
    values.has(functionState(value)) &&
    isRecord(context) &&
    context['sbdf'] === sbdf &&
    [context['owner'], context['guestAddress'], context['heldBy'] ?? null].every(isNumberOrNull)
  );
}

/** Whether a value that was read from the file `key` can be worked with; what it says is believed then. */
export function isEntry(value: unknown, key: string): value is Entry {
  if (!isRecord(value) || !isFacts(value['facts']) || !isSeized(value['seized'])) return false;
  const { sbdf } = value['facts'] as Entry['facts'];
  return (
    key === formatSbdf(sbdf) &&
    isFormer(value['former']) &&
    isMode(value['mode']) &&
    isTextOrNull(value['resettingSince'] ?? null) &&
    isTextOrNull(value['domain'] ?? null) &&
    isSnapshot(value['snapshot'], sbdf)
  );
}

/** The snapshot of a function that has just been hidden. */
export function hiddenSnapshot(sbdf: Sbdf): Snapshot<unknown> {
  return createActor(functionMachine, { input: { sbdf } }).getPersistedSnapshot();
}
