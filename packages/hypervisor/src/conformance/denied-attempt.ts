import { frameOf, type VirtualAddress } from '@heki/physical-memory';
import { type Exception, type Outcome, type Vcpu, Vector } from '@heki/vcpu';
import type { MemoryAccess, Verdict } from '../denial.ts';
import type { Rights } from '../rights.ts';
import type { DeniedEvent, KitGuest } from './kit-guest.ts';
import { DIRECT_MAP, USER_MAP } from './kit-memory.ts';
import { require } from './setup.ts';

/** The frame that is tried, and a place in it. */
export const TRIED_FRAME = 0x200;
const OFFSET = 0x124;
const SECRET = 0x5aa5_1234;
/** Error codes of #PF (SDM 3A 4.7). */
const PageFault = { WRITE: 1 << 1, FETCH: 1 << 4 } as const;

/** An instruction that some right withholds: of the kernel's through the direct map, or of user code. */
export interface Attempt {
  readonly what: string;
  readonly access: MemoryAccess;
  readonly cpl: 0 | 3;
  run(vcpu: Vcpu, va: VirtualAddress): Outcome<unknown>;
}

export const LOAD: Attempt = {
  what: 'a load',
  access: 'read',
  cpl: 0,
  run: (vcpu, va) => vcpu.load(va, 4),
};
export const STORE: Attempt = {
  what: 'a store',
  access: 'write',
  cpl: 0,
  run: (vcpu, va) => vcpu.store(va, 4, 1n),
};
export const FETCH: Attempt = {
  what: 'a fetch',
  access: 'supervisor-execute',
  cpl: 0,
  run: (vcpu, va) => vcpu.fetch(va, 4),
};

export const ATTEMPTS: readonly Attempt[] = [
  LOAD,
  STORE,
  FETCH,
  { ...LOAD, what: "a load of user code's", cpl: 3 },
  { ...STORE, what: "a store of user code's", cpl: 3 },
  { ...FETCH, what: "a fetch of user code's", access: 'user-execute', cpl: 3 },
  { ...STORE, what: 'a locked update', run: (vcpu, va) => vcpu.readModifyWrite(va, 4, () => 1n) },
];

/** The outcome of an attempt, as the guest sees it, and what the hypervisor said of it. */
export interface Tried {
  readonly va: VirtualAddress | undefined;
  readonly access: MemoryAccess | 'register';
  readonly outcome: Outcome<unknown>;
  /** It did what the instruction does. */
  readonly effect: boolean;
  readonly denials: readonly DeniedEvent[];
}

/** Makes the attempt on {@link TRIED_FRAME}. */
export function tryAccess(guest: KitGuest, vcpu: Vcpu, { access, cpl, run }: Attempt): Tried {
  const page = guest.words(TRIED_FRAME);
  page[OFFSET / 4] = SECRET;
  guest.takeDenials();
  const base = cpl === 3 ? USER_MAP : DIRECT_MAP;
  const va = (base + BigInt(TRIED_FRAME * 4096 + OFFSET)) as VirtualAddress;
  vcpu.registers.cpl = cpl;
  const outcome = run(vcpu, va);
  const effect =
    access === 'write' ? page[OFFSET / 4] !== SECRET : outcome.kind === 'done' && isSecret(outcome.value);
  guest.restart(vcpu);
  return { va, access, outcome, effect, denials: guest.takeDenials() };
}

function isSecret(value: unknown): boolean {
  if (!(value instanceof Uint8Array)) return value === BigInt(SECRET);
  return new DataView(value.buffer, value.byteOffset).getUint32(0, true) === SECRET;
}

/** Whether rights allow what an attempt does. */
export function allows(rights: Rights, access: MemoryAccess): boolean {
  switch (access) {
    case 'supervisor-execute':
      return rights.supervisorExecute;
    case 'user-execute':
      return rights.userExecute;
    case 'write':
    case 'page-walk-update':
      return rights.write;
    default:
      return rights.read;
  }
}

/** The one event of a denied attempt, which must tell what was tried, by whom and where. */
export function requireReported({ denials, va, access }: Tried, vcpu: Vcpu): DeniedEvent {
  const [event] = denials;
  require(event !== undefined && denials.length === 1, `it gives ${denials.length} events: expected 1`);
  require(event.vcpu === vcpu.id, `the event names virtual CPU ${event.vcpu}, expected ${vcpu.id}`);
  const { denial } = event;
  require(denial.kind === 'memory' &&
    denial.access ===
      access, `the event tells of ${denial.kind === 'memory' ? denial.access : denial.register}`);
  require(frameOf(denial.gpa) === TRIED_FRAME, `the event names another frame: 0x${denial.gpa.toString(16)}`);
  const offset = denial.gpa % 4096;
  // Where the hypervisor is told the page alone, its first byte stands for it.
  require(offset === OFFSET || offset === 0, `the event names another byte: 0x${denial.gpa.toString(16)}`);
  require(denial.linear === undefined ||
    denial.linear === va, `the event names another address: 0x${denial.linear?.toString(16)}`);
  return event;
}

/** Requires that the guest met the verdict that was reported: the exception, nothing, the access, or its end. */
export function requireCarriedOut({ verdict, denial }: DeniedEvent, tried: Tried): void {
  const { outcome, effect, access, va } = tried;
  const seen = `the verdict was ${verdict}, the instruction ended as ${outcome.kind}`;
  const exception = outcome.kind === 'exception' ? outcome : undefined;
  require(effect ===
    (verdict === 'allow-once'), `${seen} and ${effect ? 'did what it does' : 'had no effect'}`);
  switch (verdict) {
    case 'page-fault': {
      require(exception?.vector === Vector.PF, seen);
      const bits =
        (access === 'write' ? PageFault.WRITE : 0) | (access.endsWith('-execute') ? PageFault.FETCH : 0);
      const { WRITE, FETCH } = PageFault;
      // Whose access it was a second level need not say: bit 2 is whatever the hypervisor makes of it.
      require((exception.errorCode & (WRITE | FETCH)) ===
        bits, `the page fault has error code 0x${exception.errorCode.toString(16)}`);
      const told = denial.kind === 'memory' && denial.linear !== undefined;
      require(!told || exception.cr2 === va, `the page fault names 0x${exception.cr2?.toString(16)}`);
      return;
    }
    case 'general-protection':
      require(exception?.vector === Vector.GP && exception.errorCode === 0, seen);
      return;
    case 'skip':
    case 'allow-once':
      require(outcome.kind === 'done', seen);
      return;
    case 'stop':
      require(outcome.kind === 'stopped', seen);
  }
}

/** A denied write of a pinned register, as an attempt. */
export function triedRegister(guest: KitGuest, write: () => Outcome, effect: () => boolean): Tried {
  guest.takeDenials();
  const outcome = write();
  return {
    va: undefined,
    access: 'register',
    outcome,
    effect: effect(),
    denials: guest.takeDenials(),
  };
}

/** How an instruction ended that an emulator carried out, or did not. */
export function emulatedOutcome(exception: Exception | undefined): Outcome {
  return exception === undefined
    ? { kind: 'done', value: undefined }
    : { kind: 'exception', ...exception, fixedUp: false };
}

/** Verdicts among `declared` that no event of `events` has. */
export function unseen(declared: readonly Verdict[], events: readonly DeniedEvent[]): readonly Verdict[] {
  return declared.filter((verdict) => !events.some((event) => event.verdict === verdict));
}
