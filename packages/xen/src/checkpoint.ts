import type { StateDigest } from '@heki/physical-memory';
import type { DomainState } from './domain-state.ts';
import type { MemoryPolicy } from './monitor/enforce.ts';
import type { Monitor } from './monitor/monitor.ts';
import type { Pins } from './monitor/pins.ts';

/** What functions of this file work on. */
interface Parts {
  readonly domain: DomainState;
  readonly policy: MemoryPolicy;
  readonly pins: Pins;
  readonly monitor: Monitor;
}

/**
 * What brings the domain back to where it is now. Statistics go on: nothing that a guest can meet depends on them. `undefined` while a request is under
 * way, a virtual CPU waits for the monitor, or an access is let through once.
 */
export function checkpointDomain({ domain, policy, pins, monitor }: Parts): (() => void) | undefined {
  const { channel, injections, once, p2m, regions, shutdown, vcpus, views } = domain;
  if (domain.suspended || once.size > 0 || !channel.idle) return undefined;
  const kept = { injections: [...injections], vcpus: [...vcpus], views: [...views] };
  const backs = [
    regions.checkpoint(),
    p2m.checkpoint(),
    channel.checkpoint(),
    monitor.checkpoint(),
    policy.checkpoint(),
    pins.checkpoint(),
    ...vcpus.map((vcpu) => vcpu.checkpoint()),
  ];
  return () => {
    domain.shutdown = shutdown;
    once.clear();
    injections.clear();
    for (const [vcpu, exception] of kept.injections) injections.set(vcpu, exception);
    vcpus.splice(0, vcpus.length, ...kept.vcpus);
    views.clear();
    for (const [vcpu, view] of kept.views) views.set(vcpu, view);
    for (const back of backs) back();
  };
}

/** Tells `digest` what {@link checkpointDomain} brings back, but for the virtual CPUs. */
export function digestDomain({ domain, policy, pins }: Parts, digest: StateDigest): void {
  const { channel, injections, once, p2m, regions, shutdown, vcpus, views } = domain;
  regions.digest(digest);
  p2m.digest(digest);
  channel.digest(digest);
  policy.digest(digest);
  pins.digest(digest);
  if (shutdown !== undefined) digest.addText(shutdown);
  for (const vcpu of vcpus) {
    const injected = injections.get(vcpu.id);
    if (injected !== undefined) digest.addText(`${injected.vector} ${injected.errorCode} ${injected.cr2}`);
    digest.word(views.get(vcpu)?.index ?? 0);
    digest.word(once.has(vcpu) ? 1 : 0);
  }
}
