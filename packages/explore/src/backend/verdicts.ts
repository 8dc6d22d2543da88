import { createStateDigest } from '@heki/physical-memory';
import { observeProcessor, observeRights } from './observe.ts';
import { comeBack, type Scene } from './scene.ts';
import { numberOfEnforced, type Twin } from './twin.ts';

/** Of what makes a state one, the parts on which it depends what falls in it: digests of 53 bits. */
export interface StateParts {
  /** What is enforced, what was granted, and the tables. */
  readonly rights: number;
  /** Of each processor, all that it has. */
  readonly vcpus: readonly number[];
}

/** What holds in states. What depends on parts of them is looked at once for each of these parts. */
export interface Verdicts {
  /**
   * The properties that do not hold in a state. `scene` brings the machine there, which is used up.
   *
   * @param twin where P13 is seen; `undefined` when nobody wants to know
   */
  broken(parts: StateParts, scene: () => Scene, twin: Twin | undefined): string[];
}

/** The same of one machine, which cannot be brought back or is not to be: everything is looked at, and both processors one after the other. */
export function brokenHere(scene: Scene, twin: Twin | undefined, seen?: string[]): string[] {
  const { guest } = scene;
  const broken = new Set<string>();
  if (guest.hostHarmed) broken.add('P4');
  const alike = twin?.isAlike(scene, numberOfEnforced(guest));
  if (alike === false) broken.add('P13');
  for (const id of observeRights(scene, seen)) broken.add(id);
  for (const vcpu of guest.vcpus) for (const id of observeProcessor(scene, vcpu, seen)) broken.add(id);
  return [...broken];
}

const NONE: readonly string[] = [];
/** Parts whose verdicts are remembered, at most. */
const REMEMBERED = 500_000;

function kept(fallen: ReadonlySet<string>): readonly string[] {
  return fallen.size === 0 ? NONE : [...fallen];
}

export function createVerdicts(): Verdicts {
  const digest = createStateDigest();
  const byRights = new Map<number, { readonly fallen: readonly string[]; readonly enforced: number }>();
  const byProcessor = new Map<number, readonly string[]>();

  function ofRights(rights: number, scene: Scene) {
    const known = byRights.get(rights);
    if (known !== undefined) return known;
    const fallen = kept(observeRights(scene));
    const found = { fallen, enforced: numberOfEnforced(scene.guest) };
    if (byRights.size >= REMEMBERED) byRights.clear();
    byRights.set(rights, found);
    return found;
  }

  return {
    broken({ rights, vcpus }, scene, twin) {
      const there = scene();
      const broken = new Set<string>();
      if (there.guest.hostHarmed) broken.add('P4');
      const shared = ofRights(rights, there);
      if (twin?.isAlike(there, shared.enforced) === false) broken.add('P13');
      for (const id of shared.fallen) broken.add(id);

      const keys = vcpus.map((own, index) => {
        digest.reset();
        digest.add(rights);
        digest.add(own);
        digest.word(index);
        return digest.number;
      });
      // Each processor is looked at as if the other had not been: what it meets does not depend on which was known.
      const unknown = keys.filter((key) => !byProcessor.has(key)).length;
      const back = unknown > 1 ? comeBack(there) : undefined;
      for (const [index, key] of keys.entries()) {
        let fallen = byProcessor.get(key);
        if (fallen === undefined) {
          const machine = back?.() ?? there;
          const vcpu = machine.guest.vcpus[index];
          fallen = vcpu === undefined ? NONE : kept(observeProcessor(machine, vcpu));
          if (byProcessor.size >= REMEMBERED) byProcessor.clear();
          byProcessor.set(key, fallen);
        }
        for (const id of fallen) broken.add(id);
      }
      return [...broken];
    },
  };
}
