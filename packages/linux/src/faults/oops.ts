import { type VirtualAddress, type VirtualFrame, virtualFrameOf } from '@heki/physical-memory';
import { Vector } from '@heki/vcpu';
import { PageFaultCode, PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import type { MmState } from '../mm/mm-state.ts';
import type { KernelOutcome } from '../outcome.ts';

const { P, W, U, RSVD, ID, PK } = PageFaultCode;
/** An address below it is taken for a member of a structure that was to be behind a null pointer. */
const FIRST_PAGE = 4096n;

/** Writes an oops into the kernel's log, as the kernel does before it dies (`show_fault_oops`, `die`). */
export function reportOops(kernel: MmState, oops: Extract<KernelOutcome, { kind: 'oops' }>): void {
  for (const text of oopsLines(oops, (address) => isNoExecute(kernel, address))) {
    kernel.emit({ type: 'log', text });
  }
}

/** The lines that tell what faulted. None for what does not return: the kernel does not run on to write them. */
function oopsLines(
  { outcome }: Extract<KernelOutcome, { kind: 'oops' }>,
  isNoExecute: (address: VirtualAddress) => boolean,
): string[] {
  if (outcome.kind !== 'exception') return [];
  const { vector, errorCode, cr2 } = outcome;
  if (vector === Vector.GP) return [`general protection fault: ${word(errorCode)} [#1] PREEMPT SMP`];
  if (vector !== Vector.PF || cr2 === undefined) return [`exception ${vector}: ${word(errorCode)} [#1]`];
  const lines: string[] = [];
  if ((errorCode & ID) !== 0 && isNoExecute(cr2)) {
    lines.push('kernel tried to execute NX-protected page - exploit attempt? (uid: 0)');
  }
  const what =
    cr2 < FIRST_PAGE ? 'kernel NULL pointer dereference, address' : 'unable to handle page fault for address';
  const who = (errorCode & U) === 0 ? 'supervisor' : 'user';
  const access =
    (errorCode & ID) !== 0 ? 'instruction fetch' : (errorCode & W) !== 0 ? 'write access' : 'read access';
  lines.push(
    `BUG: ${what}: ${cr2.toString(16).padStart(16, '0')}`,
    `#PF: ${who} ${access} in kernel mode`,
    `#PF: error_code(0x${word(errorCode)}) - ${reason(errorCode)}`,
  );
  return lines;
}

function reason(errorCode: number): string {
  if ((errorCode & P) === 0) return 'not-present page';
  if ((errorCode & RSVD) !== 0) return 'reserved bit violation';
  return (errorCode & PK) === 0 ? 'permissions violation' : 'protection keys violation';
}

const word = (value: number): string => value.toString(16).padStart(4, '0');

/** Whether the page tables in memory map an address, without the right to execute there. */
function isNoExecute(
  { physicalMemory: memory, tables: { root, levels } }: MmState,
  address: VirtualAddress,
): boolean {
  const frame = virtualFrameOf(address);
  let forbidden = false;
  if (frame < upperHalfStart(levels)) return false;
  walkMappings({ memory, root, levels }, frame, (frame + 1) as VirtualFrame, ({ effective }) => {
    forbidden = (effective & PageRights.EXECUTE_DISABLE) !== 0;
  });
  return forbidden;
}
