/**
 * A process that was given a channel by the one that started it ends when that one is gone, however that one ended: the channel
 * closes. It may close long before anybody here can listen, while the modules are still being loaded.
 */

/** Calls `act` once the starter is gone, at once where it is so already; never where nobody gave us a channel. */
export function onStarterGone(act: () => void): void {
  if (!hasStarter()) return;
  if (!process.connected) {
    act();
    return;
  }
  process.once("disconnect", act);
}

/** Whether a process of ours has started this one. Node has the property only where there was a channel. */
export function hasStarter(): boolean {
  return Object.hasOwn(process, "connected");
}
