/** Bytes that would be read as one of the instructions that may begin nowhere, also within others: from the first that decides it to behind the last. */
export interface HiddenInstruction {
  readonly start: number;
  readonly end: number;
}

/**
 * Second bytes, behind 0f: descriptor tables, VMX, SVM and XCR0 (01), SYSCALL to WBINVD (05 to 09), control and debug registers, MSRs,
 * SYSENTER and GETSEC, VMREAD and VMWRITE, FS and GS, RSM, LSS, LFS and LGS, RDRAND's group with VMPTRLD (c7).
 */
const PRIVILEGED = new Set([
  0x01, 0x05, 0x06, 0x07, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x34, 0x35, 0x37, 0x78, 0x79, 0xa1,
  0xa9, 0xaa, 0xb2, 0xb4, 0xb5, 0xc7,
]);
/** Third bytes behind 0f 38: INVEPT, INVVPID, INVPCID, LOADIWKEY, writes to shadow stacks, ENQCMDS. */
const PRIVILEGED_38 = new Set([0x80, 0x81, 0x82, 0xdc, 0xf5, 0xf6, 0xf8]);
/** Extensions behind 0f 00 that do no more than a store or a load: SLDT, STR, VERR, VERW. A branch over 3840 to 4095 bytes holds 0f 00 00. */
const HARMLESS_00 = new Set([0, 1, 4, 5]);
/** Behind 0f 3a: HRESET. */
const HRESET = 0xf0;
/** EVEX's map 4, the third bytes of above with APX: WRUSS, WRSS, INVEPT, INVVPID, INVPCID, ENQCMDS and UWRMSR. */
const PRIVILEGED_MAP_4 = new Set([0x65, 0x66, 0xf0, 0xf1, 0xf2, 0xf8]);
/** Map 7 of VEX and EVEX: RDMSR, WRMSRNS and UWRMSR with the number of an MSR behind them. */
const PRIVILEGED_MAP_7 = new Set([0xf6, 0xf8]);
/** REX2 (APX) with the map of 0f, its bit M0; it has no opcodes 30 to 3f. */
const REX2_MAP_1 = 0x80;
const REX2_NONE = 0x3;
const LEGACY_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];

/**
 * Privileged instructions of two bytes and more, and what would weaken what stands against hijacked pointers: INCSSP, and ENDBR64 but for the one at an entry.
 *
 * @param body where the frame ends; before it ENDBR64 is what it looks like
 */
export function hiddenInstructions(code: Uint8Array, body: number): HiddenInstruction[] {
  const found: HiddenInstruction[] = [];
  for (let at = 0; at + 1 < code.length; at++) {
    const hidden = hiddenAt(code, at, body);
    if (hidden !== undefined) found.push(hidden);
  }
  return found;
}

function hiddenAt(code: Uint8Array, at: number, body: number): HiddenInstruction | undefined {
  const second = code[at + 1] ?? 0;
  switch (code[at]) {
    case 0x0f: {
      if (isPrivileged(code, at + 1)) return { start: at, end: at + 3 };
      const repeat = second === 0xae ? repeatBefore(code, at) : undefined;
      return repeat === undefined ? undefined : { start: repeat, end: at + 3 };
    }
    case 0xd5:
      return second >= REX2_MAP_1 &&
        Math.floor((code[at + 2] ?? 0) / 16) !== REX2_NONE &&
        isPrivileged(code, at + 2)
        ? { start: at, end: at + 4 }
        : undefined;
    case 0xc4:
      return second % 32 === 7 && holds(PRIVILEGED_MAP_7, code[at + 3])
        ? { start: at, end: at + 4 }
        : undefined;
    case 0x62: {
      const map = second % 8;
      const opcodes = map === 7 ? PRIVILEGED_MAP_7 : map === 4 ? PRIVILEGED_MAP_4 : undefined;
      return opcodes !== undefined && holds(opcodes, code[at + 4]) ? { start: at, end: at + 5 } : undefined;
    }
    case 0xf3:
      return at >= body && ENDBR64.every((byte, index) => code[at + index] === byte)
        ? { start: at, end: at + 4 }
        : undefined;
    default:
      return undefined;
  }
}

/** Whether the byte at `at` and those behind it would be privileged behind 0f. Behind 0f ae only LFENCE stands: state of the FPU, and shadow stacks. */
function isPrivileged(code: Uint8Array, at: number): boolean {
  const second = code[at] ?? 0;
  const third = code[at + 1];
  return (
    PRIVILEGED.has(second) ||
    (second === 0x00 && (third === undefined || !HARMLESS_00.has(Math.floor(third / 8) % 8))) ||
    (second === 0x38 && third !== undefined && PRIVILEGED_38.has(third)) ||
    (second === 0x3a && third === HRESET) ||
    (second === 0xae && third !== 0xe8)
  );
}

/** Behind the end there may be another program: what is not there decides nothing. */
function holds(opcodes: ReadonlySet<number>, opcode: number | undefined): boolean {
  return opcode === undefined || opcodes.has(opcode);
}

/** Where F3 stands among the prefixes of the opcode at `at`, which makes INCSSP of LFENCE. */
function repeatBefore(code: Uint8Array, at: number): number | undefined {
  const rex = Math.floor((code[at - 1] ?? 0) / 16) === 4 ? 1 : 0;
  for (let before = at - 1 - rex; LEGACY_PREFIXES.has(code[before] ?? 0); before--) {
    if (code[before] === 0xf3) return before;
  }
  return undefined;
}
