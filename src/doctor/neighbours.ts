/** Which functions are not kept apart by the buses between them and the IOMMU. */
import { busOf, type Sbdf, segmentOf, slotOf } from '../address.ts';
import { CapabilityId, ExtendedCapabilityId, Header } from '../config-space/bits.ts';
import { extendedCapabilities, findCapability } from '../config-space/capabilities.ts';
import { type Image, wordAt } from '../config-space/image.ts';
import { type Bridge, bridgeOf } from '../topology/bridges.ts';

interface Located {
  readonly sbdf: Sbdf;
  /** Null when the function does not answer: it has its place all the same. */
  readonly config: Image | null;
  readonly physicalFunction: Sbdf | null;
}

/** Device/Port Type in the PCI Express Capabilities register (PCIe 4.0, 7.5.3.2). */
const PortType = { rootPort: 4, downstream: 6, toConventional: 7 } as const;
const expressCapabilities = 2;

/** Undefined where the function has no PCI Express capability; null where too little can be read to say. */
function portTypeOf(config: Image): number | undefined | null {
  if (config.length <= Header.end) return null;
  const at = findCapability(config, CapabilityId.pciExpress);
  return at === undefined ? undefined : (wordAt(config, at + expressCapabilities) >>> 4) & 0xf;
}

const hasAcs = (config: Image): boolean =>
  extendedCapabilities(config).some(({ id }) => id === ExtendedCapabilityId.acs);

interface Port extends Bridge {
  readonly config: Image;
}

/** The bridges of a host, and who is behind them. */
export class Neighbourhood<F extends Located> {
  readonly #functions: readonly F[];
  readonly #ports: readonly Port[];

  constructor(functions: readonly F[]) {
    this.#functions = functions;
    this.#ports = functions.flatMap((fn) => {
      const bridge = bridgeOf(fn.sbdf, fn.config);
      return bridge && fn.config !== null ? [{ ...bridge, config: fn.config }] : [];
    });
  }

  /**
   * The other functions of the same device. Virtual functions are devices of their own to the IOMMU and to each other (SR-IOV
   * 1.1, 1.2), wherever their numbers put them.
   */
  siblingsOf(fn: F): readonly F[] {
    if (fn.physicalFunction !== null) return [];
    return this.#functions.filter(
      (other) =>
        other.sbdf !== fn.sbdf && slotOf(other.sbdf) === slotOf(fn.sbdf) && other.physicalFunction === null,
    );
  }

  /**
   * Whatever is behind the same conventional bus: to the IOMMU all of it is one requester, the bridge (PCIe to PCI Bridge 1.0,
   * 2.3). Null where the registers of a port cannot be read.
   */
  sharingRequester(fn: F): readonly F[] | null {
    const above = this.#portsAbove(fn.sbdf);
    if (above.some((port) => portTypeOf(port.config) === null)) return null;
    const conventional = above.filter((port) => {
      const type = portTypeOf(port.config);
      return type === undefined || type === PortType.toConventional;
    });
    const outermost = conventional.toSorted((a, b) => a.secondaryBus - b.secondaryBus)[0];
    return outermost ? this.#devicesBehind([outermost], fn) : [];
  }

  /**
   * Devices that requests can reach without passing the IOMMU: a port without Access Control Services may send them straight on
   * to its neighbours (PCIe 4.0, 6.12). Null where the registers of a port cannot be read.
   */
  peersOf(fn: F): readonly F[] | null {
    const peers = new Set<F>();
    for (const port of this.#portsAbove(fn.sbdf)) {
      const type = portTypeOf(port.config);
      const isSwitching = type === PortType.rootPort || type === PortType.downstream;
      if (type === null || (isSwitching && port.config.length <= 0x100)) return null;
      if (!isSwitching || hasAcs(port.config)) continue;
      const beside = this.#ports.filter(({ sbdf }) =>
        type === PortType.rootPort
          ? slotOf(sbdf) === slotOf(port.sbdf)
          : segmentOf(sbdf) === segmentOf(port.sbdf) && busOf(sbdf) === busOf(port.sbdf),
      );
      for (const peer of this.#devicesBehind(beside, fn)) {
        if (slotOf(peer.sbdf) !== slotOf(fn.sbdf)) peers.add(peer);
      }
    }
    return [...peers];
  }

  #portsAbove(sbdf: Sbdf): readonly Port[] {
    return this.#ports.filter((port) => isBehind(sbdf, port));
  }

  #devicesBehind(ports: readonly Port[], except: F): readonly F[] {
    const isPort = (fn: F): boolean => this.#ports.some(({ sbdf }) => sbdf === fn.sbdf);
    return this.#functions.filter(
      (fn) => fn !== except && !isPort(fn) && ports.some((port) => isBehind(fn.sbdf, port)),
    );
  }
}

const isBehind = (sbdf: Sbdf, port: Bridge): boolean =>
  sbdf !== port.sbdf &&
  segmentOf(sbdf) === segmentOf(port.sbdf) &&
  busOf(sbdf) >= port.secondaryBus &&
  busOf(sbdf) <= port.subordinateBus;
