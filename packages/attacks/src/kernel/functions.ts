import type { ModuleImage } from '@heki/linux';
import { PAGE_SIZE } from '@heki/physical-memory';

/** What the attacker's code leaves in EAX. */
export const MARK = 0x600d_c0de;

/** MOV EAX, imm32; RET. */
export function returning(value: number): Uint8Array {
  const code = new Uint8Array(6);
  const view = new DataView(code.buffer);
  view.setUint8(0, 0xb8);
  view.setUint32(1, value, true);
  view.setUint8(5, 0xc3);
  return code;
}

/** The attacker's code. */
export const PAYLOAD: Uint8Array = returning(MARK);

/** {@link PAYLOAD} as one store of eight bytes: two no-ops follow the RET. */
export const PAYLOAD_QUAD: bigint = new DataView(Uint8Array.of(...PAYLOAD, 0x90, 0x90).buffer).getBigUint64(
  0,
  true,
);

/** -EPERM, as a check of the kernel returns it. */
export const EPERM = 0xffff_ffff;
/** What a function of the kernel that is not attacked returns. */
const ALIVE = 0x11fe;
/** What the kernel gives to whoever may have it: a function that an attacker would like to call. */
const GRANTED = 0x7007;

/** Functions in the text of the modelled kernel: their offsets from `_text`, and what they return. */
export const KERNEL_FUNCTIONS = {
  /** `security_capable`: says no. */
  check: { offset: 0x1040, returns: EPERM },
  /** Another function on a page of its own, which says yes. */
  allow: { offset: 0x2040, returns: 0 },
  /** `commit_creds(&init_cred)`. */
  grant: { offset: 0x2080, returns: GRANTED },
  /** What is called to see whether the kernel lives. */
  alive: { offset: 0x3040, returns: ALIVE },
} as const;

/** The name of the first of them, by which modules call it. */
export const CHECK = 'security_capable';

/** A no-op of five bytes. */
export const NOP5: Uint8Array = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** A site in the kernel's text that a static key switches: `selinux` on or off. By its offset from `_text`. */
export const KEY_SITE = 0x1080;
/** A function whose first instruction is for whoever traces. */
export const TRACED_SITE = 0x10c0;

/** Offsets in the text of a module. */
export const MODULE_FUNCTIONS = {
  /** Returns {@link EPERM}. */
  check: 0x40,
  /** A no-op for tracing, then {@link EPERM}. */
  traced: 0x80,
  /** A static call in front of {@link EPERM}. */
  staticCall: 0x1000,
} as const;

/** A module as its author built it: a page of code with functions, another with a static call, rodata, data, init. */
export function moduleImage(
  name: string,
  options: Partial<ModuleImage> & { readonly init?: boolean } = {},
): ModuleImage {
  const { init = true, memory, ...rest } = options;
  const text = new Uint8Array(2 * PAGE_SIZE).fill(0xcc);
  text.set(returning(EPERM), MODULE_FUNCTIONS.check);
  text.set(NOP5, MODULE_FUNCTIONS.traced);
  text.set(returning(EPERM), MODULE_FUNCTIONS.traced + NOP5.length);
  text.set(NOP5, MODULE_FUNCTIONS.staticCall);
  text.set(returning(EPERM), MODULE_FUNCTIONS.staticCall + NOP5.length);
  return {
    name,
    memory: {
      text,
      rodata: new Uint8Array(PAGE_SIZE).fill(0x11),
      data: new Uint8Array(PAGE_SIZE).fill(0x22),
      ...(init ? { init_text: new Uint8Array(PAGE_SIZE).fill(0x90) } : {}),
      ...memory,
    },
    sites: { traceable: [MODULE_FUNCTIONS.traced] },
    ...rest,
  };
}

/** A signed module whose hole became known: an owner of code with a blocklist has it there. */
export const withdrawnModule = (): ModuleImage => moduleImage('rtcore');
