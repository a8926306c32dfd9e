/** Toolstacks that remove a back-end directory without a word, whatever it is in the middle of. */
import { describe, expect, test } from 'vitest';
import { XenbusState } from '../../../src/xenbus/index.ts';
import { type Script, listing } from '../script.ts';
import { e1000e, nvme, rtl8139, xhci } from '../surroundings.ts';
import { scriptedGuests } from './scripted-guests.ts';

const { Initialised, Connected, Closing, Closed, Reconfiguring, Reconfigured } = XenbusState;
const { host, begin } = await scriptedGuests();

describe('a back-end directory that is removed', () => {
  /** Where the removal finds us, and how we got there. */
  const moments: readonly (readonly [string, (guest: Script) => Promise<void>])[] = [
    [
      'Initialised',
      async (guest) => {
        await guest.create(e1000e);
        await guest.untilBack('state', Initialised);
      },
    ],
    ['Connected', (guest) => guest.connect(e1000e)],
    [
      'Reconfigured',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeBack({ ...listing(1, nvme), state: Reconfiguring });
        await guest.writeFront({ state: Reconfiguring });
        await guest.untilBack('state', Reconfigured);
      },
    ],
    [
      'Closing',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeFront({ state: Closing });
        await guest.untilBack('state', Closing);
      },
    ],
    [
      'Closed',
      async (guest) => {
        await guest.connect(e1000e);
        await guest.writeFront({ state: Closed });
        await guest.untilBack('state', Closed);
      },
    ],
    // No moment to be sure of: whatever it is doing, it has to come to an end.
    ['being written', (guest) => guest.create(e1000e, nvme, xhci)],
  ];

  test.each(moments)(
    'while it is %s: everything is given back, and nothing is made anew',
    async (_, reach) => {
      await using guest = await begin();
      await reach(guest);
      await guest.removeBackend();
      await host.untilGone(guest.domid);
      await host.untilHidden(e1000e, nvme, xhci);
      expect(await guest.all()).toEqual({});
    },
  );

  test.each(moments)('while it is %s, and made anew at once: begins anew', async (_, reach) => {
    await using guest = await begin();
    await reach(guest);
    await host.xenstore.transaction(async (tx) => {
      const [back, front] = [guest.backPath, guest.frontPath];
      await tx.rm(back);
      await tx.rm(front);
      const keys = {
        frontend: front,
        'frontend-id': guest.domid,
        online: 1,
        ...listing(0, rtl8139),
        state: 1,
      };
      for (const [key, value] of Object.entries(keys)) await tx.write(`${back}/${key}`, String(value));
      await tx.write(`${front}/backend`, back);
      await tx.write(`${front}/state`, '1');
    });
    await guest.untilBack('state', Initialised);
    expect(await guest.all()).toMatchObject({ 'vdev-0': '0000:00:00.00', 'state-0': '3' });
    await host.untilHidden(e1000e, nvme, xhci);
    await guest.publish();
    await guest.untilBack('state', Connected);
    expect(await guest.read(0)).toEqual({ err: 0, value: 0x8139_10ec });
  });
});
