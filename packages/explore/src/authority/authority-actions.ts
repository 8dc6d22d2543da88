import type { AuthorityDefectId } from '@heki/code-authority';
import { calleeBytes } from './signed-pages.ts';
import { EVIL, JUMP_TAIL, Offset, SITE_NAMES } from './tiny-images.ts';
import {
  ALIAS,
  type AuthorityAction,
  Frame,
  fillPage,
  type OwnerRequest,
  PROCESSORS,
  type TinyOwner,
} from './tiny-owner.ts';

const GUEST_FRAMES: readonly (readonly [gfn: number, name: string])[] = [
  [Frame.TEXT, 'the text'],
  [Frame.INIT, 'the init text'],
  [Frame.FREE, 'a free page'],
  [ALIAS, 'the second name of the text'],
];

/** A request, how a story calls it, and at how many points another processor can come between. */
type Asked = readonly [name: string, request: OwnerRequest, points: number];

const LOADS: readonly Asked[] = [
  ['for the module in a free page', { kind: 'load', file: 'callee', into: Frame.FREE }, 3],
  ['for the module over the text, by its second name', { kind: 'load', file: 'callee', into: ALIAS }, 3],
  ['for the module over its own init text', { kind: 'load', file: 'callee', into: Frame.INIT }, 3],
  ['for the module that calls it in the same page', { kind: 'load', file: 'caller', into: Frame.FREE }, 3],
  ['for the module that calls it in another page', { kind: 'load', file: 'caller', into: Frame.OTHER }, 3],
  ['for a module that exports what the kernel does', { kind: 'load', file: 'shadow', into: Frame.OTHER }, 3],
];

const FORGED: Asked = [
  'for the module, with a site of its own',
  { kind: 'load', file: 'callee', into: Frame.FREE, forged: true },
  3,
];

const poke = (image: string, name: string, site: number, state: number): Asked => [
  `for ${name} in state ${state}`,
  { kind: 'poke', image, site, state },
  1,
];

const ASKED: readonly Asked[] = [
  ...LOADS,
  ...[1, 0].flatMap((state) =>
    SITE_NAMES.map((name, site) => poke('kernel', name, site, name === SITE_NAMES[3] ? 2 * state : state)),
  ),
  poke('callee', "the module's site", 0, 1),
  ['for a trampoline to the module', { kind: 'trampoline', into: Frame.OTHER }, 1],
  ['for a pack', { kind: 'pack', into: Frame.OTHER }, 1],
  ['for a program of the attacker’s bytes', { kind: 'add', program: 'plain' }, 1],
  ['for a program of which the attacker has chosen a half', { kind: 'add', program: 'halves' }, 1],
  ['for the program to go', { kind: 'remove' }, 0],
  ['to give the init text back', { kind: 'init-done', image: 'kernel' }, 1],
  ...['callee', 'caller', 'trampoline', 'pack'].map(
    (image): Asked => [`to unload the ${image}`, { kind: 'retire', image }, 1],
  ),
  ['for the seal', { kind: 'seal', lock: 0 }, 1],
  ['for the seal, with LOCK gone', { kind: 'seal', lock: 1 }, 1],
];

/** What only a weaker owner has. */
const WEAKER: { readonly [id in AuthorityDefectId]?: readonly Asked[] } = {
  'B-A1': [
    ['to open the text', { kind: 'open', open: true }, 0],
    ['to close the text', { kind: 'open', open: false }, 0],
  ],
  'B-A2': [
    ['for the tail of the tracing site, as when it jumps', { kind: 'patch', offset: 1, bytes: JUMP_TAIL }, 0],
    [
      'for the head of the tracing site, as when it jumps',
      { kind: 'patch', offset: 0, bytes: Uint8Array.of(0xe9) },
      0,
    ],
  ],
  'B-A3': [FORGED],
};

const deed = (name: string, run: (owner: TinyOwner) => boolean): AuthorityAction => ({
  name,
  kind: 'deed',
  run,
});

/** A page of the guest's own holds other bytes, which it writes there itself. */
function rewrite(frame: number, bytes: Uint8Array): (owner: TinyOwner) => boolean {
  return (owner) => {
    if (!owner.store(0, frame, 0)) return false;
    fillPage(owner.bytes(frame), bytes);
    owner.knows.data.delete(frame);
    return true;
  };
}

const DEEDS: readonly AuthorityAction[] = [
  ...Array.from({ length: PROCESSORS }, (_, cpu) =>
    GUEST_FRAMES.map(([gfn, name]) =>
      deed(`processor ${cpu} stores to ${name}`, (owner) => {
        if (!owner.store(cpu, gfn, EVIL)) return false;
        if (gfn === Frame.FREE || gfn === Frame.INIT) owner.knows.data.add(gfn);
        return true;
      }),
    ),
  ).flat(),
  deed("processor 1 stores to the module's file", (owner) => owner.store(1, Frame.callee, EVIL)),
  deed(
    'the guest writes the bytes that the module would have into a free page',
    rewrite(Frame.FREE, calleeBytes()),
  ),
  deed('processor 0 clears a free page', rewrite(Frame.FREE, new Uint8Array())),
  deed(
    'the guest asks for the right to execute a free page',
    (owner) => owner.askToExecute?.(Frame.FREE) ?? false,
  ),
  deed('the machine is reset, and the kernel boots', (owner) => owner.reset()),
  deed('the kernel boots as on one processor: DS in place of LOCK', (owner) => {
    if (owner.knows.sealed) return false;
    owner.bytes(Frame.TEXT)[Offset.LOCK] = 0x3e;
    return true;
  }),
];

function asks([name, request, points]: Asked): AuthorityAction[] {
  return [
    { name: `the guest asks ${name}`, kind: 'ask', request, point: undefined },
    ...Array.from({ length: points }, (_, index): AuthorityAction => {
      const where = index === 0 ? '' : `, which comes to its point ${index + 1}`;
      return { name: `the guest begins to ask ${name}${where}`, kind: 'ask', request, point: index + 1 };
    }),
  ];
}

/** Everything that the guest can do to a machine whose code has an owner. */
export function authorityActions(defects: readonly AuthorityDefectId[]): readonly AuthorityAction[] {
  const weaker = defects.flatMap((id) => WEAKER[id] ?? []);
  return [
    ...DEEDS,
    ...[...ASKED, ...weaker].flatMap(asks),
    { name: 'the owner does its next step', kind: 'go on' },
    { name: 'the owner comes to an end', kind: 'finish' },
  ];
}
