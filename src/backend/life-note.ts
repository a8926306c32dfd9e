/**
 * Where a function stands in its life, in one store to the memory of its record. That cannot fail and costs no system call, and so it
 * is there for the next daemon also when the file of the function could not be written: a function that was taken from its guest is
 * not handed back to it, one that a guest has is given to nobody else, and one that the host has is nobody's.
 */
import { createActor } from 'xstate';
import { type FunctionContext, functionMachine, isExported } from '../../machines/function.ts';
import type { Sbdf } from '../address.ts';
import { defaultMode, lifeWord } from '../config-space/index.ts';
import { lastDomid } from '../xenbus/index.ts';
import { type Entry, contextOf, hiddenSnapshot, stateOf } from './entry.ts';

/** By number; 0 is that of a record in which nothing was noted. */
const phases = ['unknown', 'hidden', 'quarantined', 'exported', 'leaving', 'returned'] as const;
type Phase = (typeof phases)[number];

export interface Life {
  readonly phase: Phase;
  readonly owner: number | null;
  readonly guestAddress: Sbdf | null;
}

/** It is the host's again. */
export const returned: Life = { phase: 'returned', owner: null, guestAddress: null };

/** What is to be noted of a function. One that is being bound or reset is on its way out for whoever finds it so. */
export function lifeOf(entry: Entry): Life {
  const { owner, guestAddress } = contextOf(entry);
  const state = stateOf(entry);
  if (owner === null) {
    return { phase: state === 'hidden' ? 'hidden' : 'quarantined', owner: null, guestAddress: null };
  }
  const stays = isExported(state) && !entry.isLeaving && guestAddress !== null;
  return { phase: stays ? 'exported' : 'leaving', owner, guestAddress };
}

const addresses = 2 ** 32;
const owners = 2 ** 16;

/** A phase, an owner or none, and a guest's address or none: 3, 16 and 33 bits of the 53 that a float64 holds exactly. */
export function writeLife(record: ArrayBuffer, { phase, owner, guestAddress }: Life): void {
  const head = phases.indexOf(phase) * owners + (owner === null ? 0 : owner + 1);
  lifeWord(record)[0] = (head * 2 + (guestAddress === null ? 0 : 1)) * addresses + (guestAddress ?? 0);
}

/** Undefined when nothing was noted, or what is there makes no sense. */
export function readLife(record: ArrayBuffer): Life | undefined {
  const word = lifeWord(record)[0] ?? 0;
  if (!Number.isSafeInteger(word) || word <= 0) return undefined;
  const upper = Math.floor(word / addresses);
  const head = Math.floor(upper / 2);
  const phase = phases[Math.floor(head / owners)];
  const owner = (head % owners) - 1;
  if (phase === undefined || phase === 'unknown' || owner > lastDomid) return undefined;
  return {
    phase,
    owner: owner < 0 ? null : owner,
    guestAddress: upper % 2 === 1 ? ((word % addresses) as Sbdf) : null,
  };
}

/**
 * What is so of a function whose file says `entry`, and of which `life` was noted last. Undefined: it is the host's. The file is
 * believed where both say the same, as it says more.
 */
export function reconciled(entry: Entry, life: Life | undefined): Entry | undefined {
  if (life === undefined || isSame(lifeOf(entry), life)) return entry;
  if (life.phase === 'returned') return undefined;
  const { sbdf } = entry.facts;
  const before = contextOf(entry).owner;
  const isSameOwner = before === life.owner;
  const [mode, domain] = isSameOwner ? [entry.mode, entry.domain] : [defaultMode, undefined];
  const told = { ...entry, mode, domain, isLeaving: life.phase === 'leaving' };
  if (life.phase === 'hidden') return { ...told, snapshot: hiddenSnapshot(sbdf) };
  const { owner, guestAddress } = life;
  if (life.phase !== 'quarantined' && owner !== null) {
    return {
      ...told,
      snapshot: resolved('bound', { sbdf, owner, guestAddress, failure: null, heldBy: null }),
    };
  }
  const failure = {
    reason: 'RESET-FAILED',
    message: 'it was not reset when the daemon that had it died',
  } as const;
  const heldBy = before ?? contextOf(entry).heldBy;
  return {
    ...told,
    snapshot: resolved('quarantined', { sbdf, owner: null, guestAddress: null, failure, heldBy }),
  };
}

const isSame = (one: Life, other: Life): boolean =>
  one.phase === other.phase && one.owner === other.owner && one.guestAddress === other.guestAddress;

function resolved(value: 'bound' | 'quarantined', context: FunctionContext): Entry['snapshot'] {
  const snapshot = functionMachine.resolveState({ value, context });
  return createActor(functionMachine, { input: { sbdf: context.sbdf }, snapshot }).getPersistedSnapshot();
}
