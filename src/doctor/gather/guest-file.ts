/** An xl.cfg, as far as it decides whether a guest can have functions. */
import type { PcibackError } from '../../errors.ts';
import { parseCfgText } from '../../toolstack/cfg-text.ts';
import type { Problem } from '../../toolstack/problem.ts';
import { parseXlCfg } from '../../toolstack/xl-cfg.ts';
import type { PciSpec } from '../../toolstack/spec.ts';
import type { GuestFile } from '../facts.ts';

/** `unresolvedOf` tells which specifications name nothing on this host. */
export function readGuestFile(
  file: string,
  text: string,
  unresolvedOf: (specs: readonly PciSpec[]) => readonly PcibackError[],
): GuestFile {
  const { specs, problems, warnings } = parseXlCfg(text);
  const { settings } = parseCfgText(text);
  const placed = ({ at, what, remedy }: Problem): { what: string; remedy: string } => ({
    what: `line ${text.slice(0, at).split('\n').length}: ${what}`,
    remedy,
  });
  return {
    file,
    specs,
    unresolved: unresolvedOf(specs),
    problems: problems.map(placed),
    warnings: warnings.map(placed),
    setting: (name) => {
      const value = settings.get(name);
      return value && value.kind !== 'list' ? value.value : undefined;
    },
  };
}
