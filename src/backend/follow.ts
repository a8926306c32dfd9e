import { type Subscription, merge } from 'rxjs';
import { backendRoot, domidOfBackendPath } from '../xenbus/index.ts';
import { type XenstoreClient, reconcile } from '../xenstore/index.ts';
import type { Guests } from './guests.ts';

/**
 * Follows what comes and goes in xenstore, until what it adds to `subscriptions` is ended. Resolves when all that is there has been
 * looked at once; rejects when xenstored refuses the watches. `onFailure` is told of looks that failed and are repeated.
 */
export function follow(
  xenstore: XenstoreClient,
  guests: Guests,
  subscriptions: Subscription[],
  onFailure: (error: unknown) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const rung = new Set<number>();
    let all = true;
    const doorbell = merge(xenstore.watch(backendRoot), xenstore.watch('@releaseDomain'));
    const lookAround = async (): Promise<void> => {
      const named = all ? undefined : [...rung];
      rung.clear();
      all = false;
      await guests.follow(named);
      resolve();
    };
    subscriptions.push(
      doorbell.subscribe((path) => {
        const domid = domidOfBackendPath(path);
        if (domid === undefined) all = true;
        else rung.add(domid);
      }),
      reconcile(doorbell, lookAround, onFailure).subscribe({ error: reject }),
    );
  });
}
