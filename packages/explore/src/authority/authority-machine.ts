import type { AuthorityDefectId } from '@heki/code-authority';
import type { ExploredBackend } from '../backend/tiny-guest.ts';
import type { Machine, Property } from '../machine.ts';
import { authorityActions } from './authority-actions.ts';
import { createHypervisorOwner } from './hypervisor-owner.ts';
import { createNeutralOwner } from './neutral-owner.ts';
import { type AuthorityAction, brokenOf, keyOf, type TinyOwner } from './tiny-owner.ts';

/** A state is the story that leads to it: a request that is half done cannot be copied. */
interface AuthorityPoint {
  readonly story: readonly AuthorityAction[];
  readonly key: string;
  /** A request is under way. */
  readonly halfDone: boolean;
}

const PROPERTIES: readonly Property[] = [
  {
    id: 'P6',
    says: 'what a processor can execute are the bytes of a signed file, each site whole in a declared state, and programs whose constants the owner has drawn',
  },
  {
    id: 'P12',
    says: 'the bytes of pages that are the guest’s own are what the guest put there, and those that it gets back are empty',
  },
  { id: 'KEY', says: 'a site whose key may not change stays in the state in which it was sealed' },
  { id: 'LOCK', says: 'no LOCK prefix is gone while two processors run' },
  { id: 'LINK', says: 'what code that can be executed leads to can be executed' },
];

/**
 * An owner of code (`createCodeAuthority`, as it ships) with a host of nine frames, two processors that cache translations, a kernel and three modules of
 * a page each, a trampoline and a pack of compiled programs; requests stop wherever something can come between.
 *
 * @param defects what is weaker about the owner
 */
export function authorityMachine(
  ...defects: readonly AuthorityDefectId[]
): Machine<AuthorityPoint, AuthorityAction> {
  const name = defects.length === 0 ? 'authority' : `authority with ${defects.join(', ')}`;
  return ownedMachine(name, defects, createNeutralOwner(defects));
}

/**
 * The same where the owner is part of a hypervisor: requests are its hypercalls, rights are in its second level, and translations in the caches of two virtual
 * CPUs. Processor 0 makes the requests.
 *
 * @param backend its owner has `TINY_CODE`, and is as weak as `defects` say
 * @throws {RangeError} when the backend cannot be brought back to a point, or has no such owner
 */
export function ownedBackendMachine(
  backend: ExploredBackend,
  ...defects: readonly AuthorityDefectId[]
): Machine<AuthorityPoint, AuthorityAction> {
  return ownedMachine(backend.name, defects, createHypervisorOwner(backend));
}

function ownedMachine(
  name: string,
  defects: readonly AuthorityDefectId[],
  owner: TinyOwner,
): Machine<AuthorityPoint, AuthorityAction> {
  const actions = authorityActions(defects);
  /** Where {@link owner} is. */
  let at: AuthorityPoint | undefined;
  const tell = <Seen>(story: readonly AuthorityAction[], look: () => Seen): Seen | undefined => {
    let seen: Seen | undefined;
    at = undefined;
    return owner.tell(story, () => {
      seen = look();
    })
      ? seen
      : undefined;
  };
  const arrive = (story: readonly AuthorityAction[]): AuthorityPoint | undefined => {
    const point = tell(story, () => ({ story, key: keyOf(owner), halfDone: owner.underWay !== '' }));
    at = point;
    return point;
  };
  return {
    name,
    properties: PROPERTIES,
    initial: () => arrive([]) ?? { story: [], key: '', halfDone: false },
    successors({ story }, visit, line) {
      for (const action of actions) {
        if (line !== undefined && action.name !== line) continue;
        const next = arrive([...story, action]);
        if (next !== undefined) visit(action, next);
      }
    },
    key: ({ key }) => key,
    broken(point) {
      // A request that is half done may be gone once its story has ended.
      const broken =
        at === point && !point.halfDone ? brokenOf(owner) : tell(point.story, () => brokenOf(owner));
      at = undefined;
      return broken ?? [];
    },
    describe: ({ name: line }) => line,
  };
}
