/** A guest's virtual bus has 32 slots: what is asked for beyond that costs it none of those that it has. */
import { type Sbdf, formatSbdf, makeSbdf } from 'pciback';
import { describe, expect, test } from 'vitest';
import { errorPath, errorReasonPath, XenbusState } from '../../../src/xenbus/index.ts';
import { Host } from '../host.ts';
import { Script, listing } from '../script.ts';
import { captures, e1000e } from '../surroundings.ts';

const { Initialised, Connected, Closed, Reconfiguring } = XenbusState;
const sample = captures.filter(({ sbdf }) => sbdf === e1000e);
/** Functions of one kind, each in a slot of its own. */
const functions = Array.from({ length: 34 }, (_, index) => makeSbdf(0, 0x50 + index, 0, 0)).flatMap((sbdf) =>
  sample.map((facts) => ({ ...facts, sbdf })),
);
const all = functions.map(({ sbdf }) => sbdf);
const fitting = all.slice(0, 32);
const [another, further] = [makeSbdf(0, 0x70, 0, 0), makeSbdf(0, 0x71, 0, 0)];

const start = (): Promise<Host> => Host.start(all, { functions });

describe('the thirty-third function', () => {
  test('is refused to a guest that starts, which keeps the others', async () => {
    await using host = await start();
    const guest = await Script.begin(host, 5);
    await guest.create(...fitting);
    await guest.untilBack('state', Initialised);
    await guest.writeBack(listing(32, another));
    await guest.untilBack('state-32', Closed);
    expect(await guest.back('state')).toBe(String(Initialised));
    expect(await host.xenstore.read(errorReasonPath(5))).toBe('NO-SLOT');
    expect(host.function(another)).toEqual({ state: 'hidden', owner: null });
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(host.guest(5)?.functions).toHaveLength(32);
  });

  test('is refused to a guest that runs, with what to do about it', async () => {
    await using host = await start();
    const guest = await Script.begin(host, 5);
    await guest.connect(...fitting);
    await guest.writeBack({ ...listing(32, another), state: Reconfiguring });
    await guest.writeFront({ state: Reconfiguring });
    await guest.untilBack('state-32', Closed);
    expect(await host.xenstore.read(errorReasonPath(5))).toBe('NO-SLOT');
    expect(await host.xenstore.read(errorPath(5))).toMatch(/^12 no slot is left/);
  });

  test('is known beforehand, and asking places nothing', async () => {
    await using host = await start();
    const ask = (...sbdfs: readonly Sbdf[]) =>
      host.backend.requireAttachable(
        5,
        sbdfs.map((sbdf) => ({ sbdf, devfn: 0 })),
      );
    expect(() => ask(...fitting)).not.toThrow();
    expect(() => ask(...fitting, another)).toThrow(
      expect.objectContaining({ reason: 'NO-SLOT', remedy: expect.stringContaining('passthrough') }),
    );
    const guest = await Script.begin(host, 5);
    await guest.create(...fitting.slice(1));
    await guest.untilBack('state', Initialised);
    expect(() => ask(another, further)).toThrow(formatSbdf(further));
    expect(() => ask(another)).not.toThrow();
    expect(() => ask(further)).not.toThrow();
  });
});
