/**
 * What may be set for one function that is given to a guest. Between toolstack and back-end the options travel as the
 * text of an `opts-N` key.
 */
export interface PciOptions {
  /** The guest may write registers that the filter does not know. */
  readonly permissive: boolean;
  readonly msitranslate: boolean;
  /** Take the function from its host driver when that has not been done before. */
  readonly seize: boolean;
  /** The guest may change the power state. */
  readonly powerManagement: boolean;
  /** Reserved device memory concerns HVM guests only; PV guests are handed it through unused. */
  readonly rdmPolicy: 'strict' | 'relaxed';
}

export const defaultPciOptions: PciOptions = {
  permissive: false,
  msitranslate: false,
  seize: false,
  powerManagement: false,
  rdmPolicy: 'strict',
};

const bit = (value: boolean): string => (value ? '1' : '0');

/** The text of an `opts-N` key: always these four, always in this order, as libxl writes them. */
export const formatOptsKey = (options: PciOptions): string =>
  [
    `msitranslate=${bit(options.msitranslate)}`,
    `power_mgmt=${bit(options.powerManagement)}`,
    `permissive=${bit(options.permissive)}`,
    `rdm_policy=${options.rdmPolicy}`,
  ].join(',');
