import { encodeHvControl, HvCall, HvStatus } from '@heki/hypercall/hyperv';
import {
  attributesOfPermissions,
  CR4_PINNED_MASK,
  encodeHekiExit,
  encodeMemoryFaultExit,
  encodePageList,
  KVM_HEKI_EXIT_REASON_CR4,
  KVM_HYPERCALL_REGISTERS,
  KvmError,
  KvmHypercall,
  KvmMemoryExitFlag,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
} from '@heki/hypercall/kvm';
import { XenAccess } from '@heki/hypercall/xen';
import { createRam, type Gfn, gfn, readBytes, type VirtualAddress } from '@heki/physical-memory';
import {
  bitNames,
  bitTableMarkdown,
  CR0_BITS,
  CR4,
  CR4_BITS,
  EFER_BITS,
  ENTRY_BITS,
  PAGE_FAULT_BITS,
} from '@heki/x86';
import { markdownTable, type Page, textBlock } from './page.ts';

/** The layouts of what guest, hypervisor and VMM exchange, as the codecs write them. */
export const abiPage: Page = {
  file: 'docs/abi.md',
  parts: {
    registers: () =>
      markdownTable(
        ['register', 'holds'],
        [
          [KVM_HYPERCALL_REGISTERS.number, 'the number'],
          ...KVM_HYPERCALL_REGISTERS.arguments.map((register, index) => [register, `argument ${index}`]),
          [KVM_HYPERCALL_REGISTERS.result, 'afterwards the answer'],
        ].map(([register = '', holds = '']) => [register.toUpperCase(), holds]),
      ),
    hypercalls: () => numbers('hypercall', KvmHypercall),
    errors: () => numbers('error', KvmError, (number) => String(-number)),
    pinned: () =>
      bitTableMarkdown(
        Object.fromEntries(
          Object.entries(CR4_BITS).filter(([name]) =>
            bitNames(CR4_BITS, CR4_PINNED_MASK).some((one) => one === name),
          ),
        ),
      ),
    'page-list': pageList,
    permissions: () =>
      markdownTable(
        ['permission', 'on the wire', 'attribute'],
        Object.entries({ MEM_ATTR_READ, MEM_ATTR_WRITE, MEM_ATTR_EXEC, MEM_ATTR_IMMUTABLE }).map(
          ([name, bit]) => [`\`${name}\``, hex(bit), hex(attributesOfPermissions(bit))],
        ),
      ),
    denial: () =>
      words(encodeHekiExit({ reason: BigInt(KVM_HEKI_EXIT_REASON_CR4), value: 0x750eb0n & ~CR4.SMEP }), [
        'reason: CR4',
        'cr_value: what the guest wrote',
        ...Array<string>(6).fill('reserved'),
      ]),
    'memory-fault': () =>
      words(encodeMemoryFaultExit({ flags: BigInt(KvmMemoryExitFlag.WRITE), gpa: 0x1000000n, size: 4096n }), [
        'flags: WRITE',
        'gpa',
        'size',
      ]),
    hyperv: () => {
      const word = encodeHvControl({
        code: HvCall.MODIFY_VTL_PROTECTION_MASK,
        repCount: 3,
      });
      return textBlock([`RCX ${word.toString(16).padStart(16, '0')}`]);
    },
    'hyperv-status': () => numbers('status', HvStatus),
    xen: () => numbers('access', XenAccess),
    entry: () => bitTableMarkdown(ENTRY_BITS),
    'page-fault': () => bitTableMarkdown(PAGE_FAULT_BITS),
    cr0: () => bitTableMarkdown(CR0_BITS),
    cr4: () => bitTableMarkdown(CR4_BITS),
    efer: () => bitTableMarkdown(EFER_BITS),
  },
};

const hex = (value: number): string => `0x${value.toString(16)}`;

/** Names with their numbers; one above 4,095 in hexadecimal. */
function numbers(
  title: string,
  names: Readonly<Record<string, number>>,
  text: (number: number) => string = (number) => (number > 4095 ? hex(number) : String(number)),
): string {
  return markdownTable(
    ['number', title],
    Object.entries(names).map(([name, number]) => [text(number), `\`${name}\``]),
  );
}

/** Two ranges, as the guest's core would send them. */
function pageList(): string {
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(16) }] });
  const list = encodePageList({
    memory,
    frames: [gfn(8)],
    ranges: [
      {
        start: gfn(0x1000),
        end: gfn(0x1e02),
        permissions: MEM_ATTR_READ | MEM_ATTR_EXEC | MEM_ATTR_IMMUTABLE,
      },
      { start: gfn(0x2000), end: gfn(0x2827), permissions: MEM_ATTR_READ | MEM_ATTR_IMMUTABLE },
    ],
    directMap: 0xffff888000000000n as VirtualAddress,
  });
  const bytes = new Uint8Array(72);
  readBytes<Gfn>(memory, list, bytes);
  const entry = (permissions: string): string[] => [
    'pa: first byte',
    'epa: first byte behind it',
    `permissions: ${permissions}`,
  ];
  return words(bytes, [
    'next: address in the guest; the host must not use it',
    'next_pa: 0 ends the list',
    'npages',
    ...entry('r-x, immutable'),
    ...entry('r--, immutable'),
  ]);
}

/** Bytes as lines of a u64 each, with its offset and what it is. */
function words(bytes: Uint8Array, meanings: readonly string[]): string {
  if (meanings.length * 8 !== bytes.length)
    throw new Error(`${bytes.length} bytes: expected ${meanings.length} words of 8`);
  return textBlock(
    meanings.map((meaning, index) => {
      const word = [...bytes.subarray(8 * index, 8 * index + 8)].map((byte) =>
        byte.toString(16).padStart(2, '0'),
      );
      return `${hex(8 * index).padEnd(5)} ${word.join(' ')}  ${meaning}`;
    }),
  );
}
