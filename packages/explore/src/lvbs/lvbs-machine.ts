import { LvbsFunction } from '@heki/hypercall/hyperv';
import { VcpuWaits } from '@heki/hypervisor';
import { createStateDigest, type Gfn } from '@heki/physical-memory';
import { RESTING } from '../backend/tiny-guest.ts';
import type { Machine, Property } from '../machine.ts';
import {
  createLvbsGuest,
  JUMP,
  type LvbsGuest,
  type LvbsHypervisor,
  NOP,
  Offset,
  Page,
  SIGNED,
} from './lvbs-guest.ts';

interface LvbsAction {
  readonly name: string;
  run(guest: LvbsGuest): void;
}

/** A state is the story that leads to it. */
interface LvbsPoint {
  readonly story: readonly LvbsAction[];
  readonly key: number;
  readonly broken: readonly string[];
}

const PROPERTIES: readonly Property[] = [
  { id: 'P6', says: 'what the kernel can execute is what was signed, each site whole in a declared state' },
  { id: 'RO', says: 'the read-only data of a module that is loaded is what was signed' },
  { id: 'LEFT', says: 'the read-only data of a module is gone before VTL0 may write it again' },
];

const TEXT = Page.TEXT * 4096;
const EVIL = 0x0b;
/** Points of the call that loads a module at which a store of another processor is tried. */
const POINTS = 16;

const does = (name: string, run: (guest: LvbsGuest) => void): LvbsAction => ({ name, run });

const ACTIONS: readonly LvbsAction[] = [
  does('VTL0 asks for the module', (guest) => guest.load()),
  does('VTL0 asks for the module, with a table of patches into its text', (guest) =>
    guest.load({ pa: TEXT + Offset.ELSEWHERE, secondPa: 0 }),
  ),
  does('VTL0 asks for the module, with a table of patches that straddles into its init text', (guest) =>
    guest.load({ pa: TEXT + 0xffe, secondPa: Page.INIT * 4096 }),
  ),
  does('VTL0 puts another address at the relocation', (guest) => {
    for (let at = 0; at < 4; at++) guest.store(0, TEXT + Offset.RELOCATION + at, EVIL);
  }),
  ...(
    [
      ['a breakpoint', 0, Uint8Array.of(0xcc)],
      ['the tail of the jump', 1, JUMP.subarray(1)],
      ['the head of the jump', 0, JUMP.subarray(0, 1)],
      ['the tail of the no-op', 1, NOP.subarray(1)],
      ['the head of the no-op', 0, NOP.subarray(0, 1)],
    ] as const
  ).flatMap(([what, from, bytes]) =>
    (
      [
        ['the tracing site', TEXT + Offset.SITE],
        ['where the text has no site', TEXT + Offset.ELSEWHERE],
        ['a site of the kernel in the read-only data', Page.RODATA * 4096 + Offset.KERNEL_SITE],
      ] as const
    ).map(([where, pa]) =>
      does(`VTL0 patches ${what} to ${where}`, (guest) => guest.patch(pa + from, bytes)),
    ),
  ),
  does('VTL0 patches a breakpoint to the end of the text', (guest) =>
    guest.patch(TEXT + 0xffe, Uint8Array.of(0xcc)),
  ),
  does('VTL0 patches the tail of a jump from the end of the text to the init text', (guest) =>
    guest.patch(TEXT + 0xfff, JUMP.subarray(1), Page.INIT * 4096),
  ),
  does('VTL0 frees the init text', (guest) => guest.call(LvbsFunction.FREE_MODULE_INIT, 1n)),
  does('VTL0 unloads the module', (guest) => guest.call(LvbsFunction.UNLOAD_MODULE, 1n)),
  ...[Page.TEXT, Page.RODATA, Page.INIT].map((frame, index) =>
    does(`processor 1 stores to the ${['text', 'read-only data', 'init text'][index]}`, (guest) =>
      guest.store(1, frame * 4096 + 0x200, EVIL),
    ),
  ),
  ...Array.from({ length: POINTS }, (_, from) =>
    does(`VTL0 asks for the module; from point ${from + 1} on processor 1 stores to its text`, (guest) => {
      let point = 0;
      guest.onPoint = () => {
        if (point++ < from) return;
        const { onPoint } = guest;
        guest.onPoint = undefined;
        try {
          guest.store(1, TEXT + 0x200, EVIL);
        } catch (stop) {
          if (!(stop instanceof VcpuWaits)) throw stop;
        }
        guest.onPoint = onPoint;
      };
      guest.load();
      guest.onPoint = undefined;
    }),
  ),
];

export type { LvbsHypervisor };

/** Does one action. What a call left in registers is the attacker's to change. */
function live(guest: LvbsGuest, action: LvbsAction): void {
  action.run(guest);
  for (const { registers } of guest.vm.vcpus) Object.assign(registers, RESTING);
}

/**
 * The secure kernel of LVBS, after the end of boot, and all that VTL0 may ask of it, with a signed module of three pages.
 *
 * @param retold states are reached again by telling their story from the boot on, although the guest could be brought back
 */
export function lvbsMachine(
  name: string,
  create: () => LvbsHypervisor,
  { retold = false }: { readonly retold?: boolean } = {},
): Machine<LvbsPoint, LvbsAction> {
  let origin: (() => LvbsGuest) | undefined;
  const comeBack = (guest: LvbsGuest): (() => LvbsGuest) | undefined => {
    const back = retold ? undefined : guest.checkpoint();
    return (
      back &&
      (() => {
        back();
        return guest;
      })
    );
  };
  const begin = (): LvbsGuest => {
    if (origin !== undefined) return origin();
    const guest = createLvbsGuest(create());
    origin = comeBack(guest);
    return guest;
  };
  const goTo = (story: readonly LvbsAction[]): LvbsGuest => {
    const guest = begin();
    for (const action of story) live(guest, action);
    return guest;
  };
  const arrive = (guest: LvbsGuest, story: readonly LvbsAction[]): LvbsPoint => ({
    story,
    key: keyOf(guest),
    broken: brokenOf(guest),
  });
  return {
    name,
    properties: PROPERTIES,
    initial: () => arrive(begin(), []),
    successors({ story }, visit, line) {
      const back = comeBack(goTo(story));
      for (const action of ACTIONS) {
        if (line !== undefined && action.name !== line) continue;
        const guest = back?.() ?? goTo(story);
        live(guest, action);
        visit(action, arrive(guest, [...story, action]));
      }
    },
    key: ({ key }) => key,
    broken: ({ broken }) => broken,
    describe: (action) => action.name,
  };
}

const FRAMES = [Page.TEXT, Page.RODATA, Page.INIT];

function keyOf(guest: LvbsGuest): number {
  const digest = createStateDigest();
  for (const frame of FRAMES) digest.add(guest.contents(frame));
  guest.vm.digest(digest);
  for (const vcpu of guest.vm.vcpus) vcpu.digest(digest);
  digest.word(guest.loaded ? 1 : 0);
  return digest.number;
}

function brokenOf(guest: LvbsGuest): string[] {
  const broken: string[] = [];
  for (const frame of FRAMES) {
    const rights = guest.vm.effectiveRights(frame as Gfn);
    // Data that VTL0 may write may be anything.
    if (rights?.supervisorExecute !== true && frame !== Page.RODATA) continue;
    const isSigned = isApproved(frame, guest.bytes(frame));
    if (rights?.supervisorExecute === true && !isSigned) broken.push('P6');
    if (frame !== Page.RODATA || rights === undefined) continue;
    if (!rights.write && !isSigned) broken.push('RO');
    if (rights.write && isSigned && guest.loaded) broken.push('LEFT');
  }
  return broken;
}

/** Whether a page holds what was signed for it; the tracing site may be in either state, or under a breakpoint before a whole tail. */
function isApproved(frame: number, bytes: Uint8Array): boolean {
  const signed = SIGNED[frame];
  if (signed === undefined) return false;
  const site = bytes.subarray(Offset.SITE, Offset.SITE + 5);
  const isWhole = [JUMP, NOP].some(
    (variant) =>
      variant.subarray(1).every((byte, at) => site[at + 1] === byte) &&
      (site[0] === variant[0] || site[0] === 0xcc),
  );
  if (frame === Page.TEXT && !isWhole) return false;
  for (let at = 0; at < 4096; at++) {
    const inSite = frame === Page.TEXT && at >= Offset.SITE && at < Offset.SITE + 5;
    if (!inSite && bytes[at] !== signed[at]) return false;
  }
  return true;
}
