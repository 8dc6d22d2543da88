import type { AuthorityDefectId } from '@heki/code-authority';
import type { Gfn, Pfn } from '@heki/physical-memory';
import type { Machine, Property } from '../machine.ts';
import { FORGED_SITE } from './tiny-images.ts';
import { ALIAS, createTinyOwner, FRAMES, Frame, PROCESSORS, type TinyOwner } from './tiny-owner.ts';

/** Where in a page the attacker writes: bytes that are in no site. */
const SCRATCH = 0x200;
const EVIL = 0x0b0f_0b0f;

interface AuthorityAction {
  readonly name: string;
  /** Whether it could happen. */
  run(owner: TinyOwner): boolean;
}

/** A state is the story that leads to it: a request that is half done cannot be copied. */
interface AuthorityPoint {
  readonly story: readonly AuthorityAction[];
  readonly key: string;
  readonly broken: readonly string[];
}

const PROPERTIES: readonly Property[] = [
  {
    id: 'P6',
    says: 'what a processor can execute are the bytes of a signed file, each site whole in a declared state',
  },
  { id: 'P12', says: 'the bytes of pages that are the guest’s own are what the guest put there' },
  { id: 'KEY', says: 'a site whose key may not change stays in the state in which it was sealed' },
];

const GUEST_FRAMES: readonly (readonly [gfn: number, name: string])[] = [
  [Frame.TEXT, 'the text'],
  [Frame.INIT, 'the init text'],
  [Frame.FREE, 'a free page'],
  [ALIAS, 'the second name of the text'],
];

function store(cpu: number, gfn: number, name: string): AuthorityAction {
  return {
    name: `processor ${cpu} stores to ${name}`,
    run(owner) {
      if (!owner.allows(cpu, gfn, 'write')) return false;
      const frame = gfn === ALIAS ? Frame.TEXT : gfn;
      const bytes = owner.bytes(frame);
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(SCRATCH, EVIL, true);
      owner.data.set(frame, EVIL);
      return true;
    },
  };
}

const ask = (name: string, begin: AuthorityAction['run']): AuthorityAction => ({ name, run: begin });

/** Everything that the guest can do to a machine whose code has an owner. */
function actionsOf(defect: AuthorityDefectId | undefined): readonly AuthorityAction[] {
  const file = { pages: [Frame.FILE as Gfn], length: 4096 };
  return [
    ...Array.from({ length: PROCESSORS }, (_, cpu) =>
      GUEST_FRAMES.map(([gfn, name]) => store(cpu, gfn, name)),
    ).flat(),
    ask('the guest writes the bytes that the module would have into a free page', (owner) => {
      if (!owner.allows(0, Frame.FREE, 'write')) return false;
      owner.bytes(Frame.FREE).set(owner.moduleBytes());
      owner.data.delete(Frame.FREE);
      return true;
    }),
    ask('processor 0 clears a free page', (owner) => {
      if (!owner.allows(0, Frame.FREE, 'write')) return false;
      owner.bytes(Frame.FREE).fill(0);
      owner.data.delete(Frame.FREE);
      return true;
    }),
    ask('the guest asks for the module in a free page', (owner) =>
      owner.ask('load', owner.authority.load(file, owner.placement(Frame.FREE))),
    ),
    ask('the guest asks for the module over the text, by its second name', (owner) =>
      owner.ask('load alias', owner.authority.load(file, owner.placement(ALIAS))),
    ),
    ask('the guest asks for the module over its own init text', (owner) =>
      owner.ask('load init', owner.authority.load(file, owner.placement(Frame.INIT))),
    ),
    ...(defect === 'B-A3'
      ? [
          ask('the guest asks for the module, with a site of its own', (owner) =>
            owner.ask('load forged', owner.authority.load(file, owner.placement(Frame.FREE), [FORGED_SITE])),
          ),
        ]
      : []),
    ...[1, 0].flatMap((state) =>
      (
        [
          [0, 'the tracing site'],
          [1, 'the LSM site'],
          [2, 'the init site'],
        ] as const
      ).map(([site, name]) =>
        ask(`the guest wants ${name} in state ${state}`, (owner) =>
          owner.ask(`poke ${site} ${state}`, owner.authority.poke([{ image: 1, site, state }])),
        ),
      ),
    ),
    ask("the guest wants the module's site in state 1", (owner) =>
      owner.ask('poke module', owner.authority.poke([{ image: 2, site: 0, state: 1 }])),
    ),
    ask('the guest gives the init text back', (owner) => owner.ask('init-done', owner.authority.initDone(1))),
    ask('the guest unloads the module', (owner) => owner.ask('retire', owner.authority.retire(2))),
    ask('the owner does its next step', (owner) => owner.proceed()),
    ...(defect === 'B-A1'
      ? [
          ask('the guest opens the text', (owner) => owner.authority.openText(1, 0, 0, true).ok),
          ask('the guest closes the text', (owner) => owner.authority.openText(1, 0, 0, false).ok),
        ]
      : []),
    ...(defect === 'B-A2'
      ? [
          ask(
            'the guest patches the tail of the tracing site, as when it jumps',
            (owner) => owner.authority.patchStep(1, 0, 1, JUMP_TAIL).ok,
          ),
          ask(
            'the guest patches the head of the tracing site, as when it jumps',
            (owner) => owner.authority.patchStep(1, 0, 0, Uint8Array.of(0xe9)).ok,
          ),
        ]
      : []),
  ];
}

/** The last four bytes of the tracing site when it jumps: from 0x15 to 0x40. */
const JUMP_TAIL = Uint8Array.of(0x2b, 0, 0, 0);

/**
 * An owner of code (`createCodeAuthority`, as it ships) with a host of six frames, two processors that cache translations, a kernel and a
 * module of a page each; requests stop wherever something can come between.
 *
 * @param defect a weaker variant of the owner
 */
export function authorityMachine(defect?: AuthorityDefectId): Machine<AuthorityPoint, AuthorityAction> {
  const actions = actionsOf(defect);
  const owner = createTinyOwner(defect);
  const tell = (story: readonly AuthorityAction[]): AuthorityPoint | undefined => {
    owner.begin();
    for (const action of story) if (!action.run(owner)) return undefined;
    return { story, key: keyOf(owner), broken: brokenOf(owner) };
  };
  return {
    name: defect === undefined ? 'authority' : `authority with ${defect}`,
    properties: PROPERTIES,
    initial: () => tell([]) ?? { story: [], key: '', broken: [] },
    successors({ story }, visit, line) {
      for (const action of actions) {
        if (line !== undefined && action.name !== line) continue;
        const next = tell([...story, action]);
        if (next !== undefined) visit(action, next);
      }
    },
    key: ({ key }) => key,
    broken: ({ broken }) => broken,
    describe: ({ name }) => name,
  };
}

function brokenOf(owner: TinyOwner): string[] {
  const broken: string[] = [];
  if (owner.executable().some((frame) => owner.unapproved(frame) !== undefined)) broken.push('P6');
  const kernel = owner.authority.images.find(({ id }) => id === 1);
  if (kernel?.states[1] !== 0) broken.push('KEY');
  // Where init text had its site the guest never writes once the page is its own: it was given back empty.
  const isTaken = [...owner.data.keys()].some((frame) => owner.authority.frame(frame as Pfn).type !== 'free');
  const site = owner.bytes(Frame.INIT).subarray(0x10, 0x15);
  const isPatched =
    owner.authority.frame(Frame.INIT as Pfn).type === 'free' && site.some((byte) => byte !== 0);
  if (isTaken || isPatched) broken.push('P12');
  return broken;
}

function keyOf(owner: TinyOwner): string {
  const parts: unknown[] = [owner.requestText, owner.authority.images, owner.rights, [...owner.data]];
  for (const cache of owner.cached) parts.push([...cache].sort(([a], [b]) => a - b));
  for (let frame = 0; frame < FRAMES; frame++) {
    const bytes = owner.bytes(frame);
    parts.push(digest(bytes), owner.authority.frame(frame as Pfn));
  }
  return JSON.stringify(parts);
}

/** FNV-1a over the bytes that anything here can change. */
function digest(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < SCRATCH + 4; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x0100_0193);
  return hash >>> 0;
}
