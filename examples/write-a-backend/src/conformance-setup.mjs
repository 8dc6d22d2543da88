// How the conformance kit asks in the guest's name, and what a hostile guest sends.
import {
  encodePageList,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
} from '@heki/hypercall/kvm';
import { AMD_ZEN4, CR4 } from '@heki/x86';
import createMine, { Call } from './mine.mjs';

/**
 * @import { ConformanceSetup, GuestCalls, GuestPlaces } from '@heki/hypervisor/conformance'
 * @import { VirtualMachine } from '@heki/hypervisor'
 * @import { Gfn, Gpa, Pfn, VirtualAddress } from '@heki/physical-memory'
 * @import { Vcpu } from '@heki/vcpu'
 */

/**
 * @param {boolean} gmet
 * @returns {ConformanceSetup<VirtualMachine>}
 */
export function mineSetup(gmet) {
  return { hypervisor: createMine({ processor: AMD_ZEN4, gmet }), guestCalls };
}

/**
 * @param {GuestPlaces<VirtualMachine>} places
 * @returns {GuestCalls}
 */
function guestCalls({ vm, vcpu, memory, backing, scratch, directMap }) {
  const list = BigInt(scratch) * 4096n;
  const call = (/** @type {Vcpu} */ cpu, /** @type {bigint} */ rax, rbx = 0n, rcx = 0n) => {
    Object.assign(cpu.registers, { rax, rbx, rcx });
    return cpu.vmcall().kind === 'done' && cpu.registers.rax === 0n;
  };
  /** A list page of raw words: of the next page and the count, then start, end and permissions of each range. */
  const raw = (
    /** @type {bigint} */ next,
    /** @type {bigint} */ count,
    /** @type {bigint[]} */ ...ranges
  ) => {
    const words = BigUint64Array.from([0n, next, count, ...ranges]);
    vm.write('vmm', /** @type {Gpa} */ (scratch * 4096), new Uint8Array(words.buffer));
    return call(vcpu, Call.PROTECT, list);
  };
  const good = [0x20_0000n, 0x20_1000n, 1n];
  return {
    // A page list has one word for execution, the kernel's, and no page can be kept from being read.
    asksFor: (wanted) => ({ ...wanted, read: true, userExecute: true }),
    request(cpu, ranges) {
      const address = encodePageList({
        memory: {
          page: (gfn) => memory.page(/** @type {Pfn} */ (backing + gfn)),
          writablePage: (gfn) => memory.writablePage(/** @type {Pfn} */ (backing + gfn)),
        },
        frames: Array.from({ length: 32 }, (_, page) => /** @type {Gfn} */ (scratch + page)),
        ranges: ranges.map(({ start, end, rights, immutable }) => ({
          start,
          end,
          permissions:
            MEM_ATTR_READ |
            (rights.write ? MEM_ATTR_WRITE : 0) |
            (rights.supervisorExecute ? MEM_ATTR_EXEC : 0) |
            (immutable === true ? MEM_ATTR_IMMUTABLE : 0),
        })),
        directMap: /** @type {VirtualAddress} */ (directMap),
      });
      return call(cpu, Call.PROTECT, BigInt(address));
    },
    pin: (cpu, register, bits) => call(cpu, Call.PIN, BigInt(register), bits),
    malformed: [
      { name: 'a list at no memory', run: () => call(vcpu, Call.PROTECT, 0x7000_0000_0000n) },
      { name: 'a list that is not page-aligned', run: () => call(vcpu, Call.PROTECT, list + 8n) },
      { name: 'a list that leads back to itself', run: () => raw(list, 1n, ...good) },
      { name: 'a count whose product wraps', run: () => raw(0n, 3n << 61n, ...good) },
      { name: 'a range outside memory', run: () => raw(0n, 1n, 0x2_0000_0000n, 0x2_0000_1000n, 1n) },
      { name: 'a range of all memory and more', run: () => raw(0n, 1n, 0n, (1n << 64n) - 4096n, 1n) },
      { name: 'an empty range behind a good one', run: () => raw(0n, 2n, ...good, 0n, 0n, 1n) },
      { name: 'rights that do not exist', run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 16n) },
      { name: 'a pin of a register that cannot be pinned', run: () => call(vcpu, Call.PIN, 3n, 1n) },
      {
        name: 'a pin of bits that cannot be pinned',
        run: () => call(vcpu, Call.PIN, 4n, CR4.SMEP | CR4.PGE),
      },
      { name: 'a pin of nothing', run: () => call(vcpu, Call.PIN, 4n) },
      { name: 'a call that does not exist', run: () => call(vcpu, 77n) },
      {
        name: 'a list of user code',
        run() {
          vcpu.registers.cpl = 3;
          return raw(0n, 1n, ...good);
        },
      },
    ],
  };
}
