/**
 * `path-max`: what may follow `/local/domain/N/`, or the length of a path elsewhere. The 3072 of xs_wire.h is checked by no
 * daemon; C xenstored of Xen 4.17 holds everybody to this.
 */
const maxPathLength = 2048;

const form = /^\/$|^(?:\/[-_@A-Za-z0-9]+)+$/;

/** True for an absolute path that may name a node. */
export function isNodePath(path: string): boolean {
  if (!form.test(path)) return false;
  const home = /^\/local\/domain\/[0-9]{1,5}\//.exec(path);
  return path.length - (home?.[0].length ?? 0) <= maxPathLength;
}

/** The special "nodes" that can only be watched: `@introduceDomain`, `@releaseDomain`. */
export const isSpecial = (path: string): boolean => path.startsWith('@');
/** A special name is compared, not looked up, so only its length is checked. */
export const isWatchableSpecial = (path: string): boolean => isSpecial(path) && path.length <= maxPathLength;

/** Where relative paths of a domain begin. */
export const homeOf = (domid: number): string => `/local/domain/${domid}`;

/** Makes a path absolute. It may still be no valid path. */
export const absolute = (path: string, home: string): string =>
  path.startsWith('/') || isSpecial(path) ? path : `${home}/${path}`;

/** The path of the node above; the root is above itself. */
export const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

export const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
