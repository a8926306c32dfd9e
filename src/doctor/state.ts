/** Who has each function, as the daemon and the toolstack tell it. */
import { formatSbdf, type Sbdf } from '../address.ts';
import { fail, type Finding, pass, skip, summary, warn } from './check.ts';
import type { Facts } from './facts.ts';

/** Undefined for a captured tree, which knows no guests. */
export function stateOf(facts: Facts): Finding | undefined {
  if (facts.scope === 'tree') return undefined;
  const hasDaemon = facts.daemon.ok && facts.daemon.value !== undefined;
  if (!hasDaemon && !facts.store?.ok) return skip('not to be told without a daemon and without xenstore');
  return summary(
    facts.subjects.map((sbdf) => ({ sbdf: formatSbdf(sbdf), ...stateOfOne(sbdf, facts) })),
    facts.named,
  );
}

function stateOfOne(sbdf: Sbdf, { daemon, store }: Facts): Finding {
  const name = formatSbdf(sbdf);
  const known = daemon.ok ? daemon.value?.functions.find((each) => each.sbdf === name) : undefined;
  if (known?.state === 'quarantined') {
    const why = known.reason ?? 'its last reset failed';
    return fail('QUARANTINED', 'quarantined', why, `reset it: pciback reset ${name}`);
  }
  const claim = store?.ok ? store.value.claims.get(sbdf) : undefined;
  const owner = known?.owner ?? claim?.domid ?? null;
  if (owner !== null && (claim?.exists ?? true)) {
    // What the daemon does not know of, another back-end serves.
    const detach = known ? 'pciback detach' : 'xl pci-detach';
    return warn(
      `domain ${owner} has it`,
      'a function belongs to one guest at a time',
      `to give it to another: ${detach} ${owner} ${name}`,
    );
  }
  if (claim) {
    return warn(
      `handed to domain ${claim.domid}, which is gone`,
      'the toolstack has not cleared up, and xl offers the function to nobody',
      `xenstore-rm /libxl/pci/${name.replaceAll(/[:.]/g, '-')}/domid`,
    );
  }
  return pass(known ? known.state : 'the host has it');
}
