/** One defect of the published host half, as a switch and as text. */
export interface KvmDefect {
  readonly title: string;
  /** What a guest, a VMM or the host meets. */
  readonly happens: string;
  /** Where in the code it comes from. */
  readonly why: string;
  /** What `hardened` does at the same place. */
  readonly mend: string;
  /** What of it no model can show. */
  readonly notShown?: string;
}

/**
 * The defects of Heki v2's host half, one switch each, with the place in the series that they come from. Everything
 * that `rfc-v2` does otherwise than `hardened` hangs on one of these.
 */
export const kvmDefects = {
  'B-H1': {
    title: 'A request for fewer rights is dropped with success',
    happens:
      'Write is never taken from a rw- page by a request for r--, and a page that was rwx once stays rwx, although each call answers 0.',
    why: 'The "nothing to do" test of the attribute setter asks whether the stored bits contain the requested ones, not whether they are equal (Heki v2 8/19, 9/19).',
    mend: 'The call ends early only when every frame has exactly the requested value.',
  },
  'B-H2': {
    title: 'The entry count of a list page overflows a host buffer',
    happens:
      'A page that says it holds more than 169 entries writes past a 4,096-byte kernel allocation; 170, which an honest guest can send (B-G2), writes 8 bytes past it.',
    why: '`npages` comes from the guest and is multiplied by 24 for the copy without a check (Heki v2 11/19).',
    mend: 'More than 169 entries are refused before anything is copied.',
  },
  'B-H3': {
    title: 'A list that leads back to itself exhausts the host',
    happens: 'The host allocates one 4 KiB buffer after the other until it has no memory left.',
    why: 'The list is followed to a zero link; neither length nor repetition is checked, and the buffers are not accounted to the VM.',
    mend: 'A page that comes again is refused, and so is a list longer than a stated bound.',
  },
  'B-H4': {
    title: 'A list page that cannot be read leaks host memory',
    happens: 'Each such call loses 4,096 bytes of kernel memory for good, and the guest can repeat it.',
    why: 'The buffer is allocated before the read and put on the list that is freed only after it.',
    mend: 'Nothing outlives the call.',
  },
  'B-H5': {
    title: 'A range has no bound',
    happens:
      'One entry can name 2^52 frames: as many iterations with a mutex held, and attributes for frames that are no memory.',
    why: 'Only the alignment of both ends is checked.',
    mend: "A range that reaches past the guest's memory or contains none of it is refused.",
  },
  'B-H6': {
    title: 'A list is applied up to its first bad entry',
    happens:
      'Entries before the bad one are in force, the others are not, and the guest learns only an error number.',
    why: 'Entries are checked and applied one by one.',
    mend: 'All entries are checked, immutability included, before the first is applied.',
  },
  'B-H7': {
    title: 'Memory that was never sent stays writable and executable',
    happens:
      'Hot-added memory, firmware, device memory and pages that a list lost can be written and then executed by the kernel.',
    why: 'A frame without attributes has all rights.',
    mend: 'From the first successful protect call on, a frame without attributes is read-write for the kernel.',
  },
  'B-H8': {
    title: 'Large pages over frames with different rights',
    happens:
      'A 2 MiB or 1 GiB leaf can cover frames with different attributes; all of them then have the rights of the first.',
    why: 'A region counts as uniform when every frame contains the newly set bits (2 MiB), or when any bit agrees (1 GiB); a setter with a mask also calls whole regions uniform that it changed only in part.',
    mend: 'A region is uniform when all its frames have the same attributes.',
  },
  'B-H9': {
    title: 'The check for 1 GiB pages reads past an array',
    happens:
      'In a memslot smaller than 1 GiB whose start is aligned to 1 GiB, an attribute change that leaves it uniform reads beyond its array of 2 MiB flags: what KASAN reported to the authors.',
    why: 'The head of the range is looked at when its 1 GiB region begins in the slot, without asking whether it also ends there.',
    mend: 'A region that the slot does not contain as a whole is not looked at; it can have no such leaf anyway.',
    notShown: 'What the kernel would read there: the model takes it as zero and goes on.',
  },
  'B-H10': {
    title: 'A memslot that is created later forgets which regions are mixed',
    happens:
      'After a slot was deleted and created again, large leaves cover frames with different attributes.',
    why: 'The flags of a new slot are initialised from the attributes only in VMs with private memory.',
    mend: 'They always are.',
  },
  'B-H11': {
    title: 'A private page without Heki attributes has no rights at all',
    happens: 'In a confidential VM the kernel can neither write nor execute it.',
    why: 'Any attribute, PRIVATE too, makes the getter translate the Heki bits, which are then all zero.',
    mend: 'Only Heki bits count.',
  },
  'B-H12': {
    title: 'Only the processor is bound by the rights',
    happens:
      "KVM's own stores for the guest, its instruction emulator, the VMM and devices write to read-only pages.",
    why: 'They use the host mapping, where nobody looks at attributes.',
    mend: 'KVM looks at the attributes of every guest-physical address that it resolves for a store, and for code that it emulates. The VMM and DMA stay declared bypasses, each closable by a mechanism of its own.',
  },
  'B-H13': {
    title: 'The pins of CR0.WP and CR4.FSGSBASE are hollow',
    happens: 'A MOV that changes only such a bit does not exit, so nothing checks it.',
    why: 'Since Linux 6.4 the guest owns CR0.WP when EPT is on, and it owns CR4.FSGSBASE; the series leaves the guest/host masks alone.',
    mend: 'A pinned bit is taken from the guest on every virtual CPU.',
  },
  'B-H14': {
    title: 'Pins and attributes outlive the kernel that asked for them',
    happens:
      'After INIT the first MOV to CR0 of a starting processor is refused; after reset or kexec the next kernel cannot write where the old text was; a migrated VM has lost everything.',
    why: 'They live in the VM, nothing clears them, and there is no getter.',
    mend: 'A pin binds a processor that took INIT again from when it turns paging on (CR0) or first meets it (CR4); the VMM can read and set the whole state, and decides what reset and kexec do.',
  },
  'B-H15': {
    title: 'A write of a pinned register through the emulator goes wrong',
    happens:
      'It becomes a double fault; with the denial exit enabled it completes as if it had succeeded and a #GP arrives later.',
    why: 'The check injects #GP itself and returns non-zero, for which the emulator raises #GP again; after an exit it returns the value that means "continue".',
    mend: 'The emulator gets one #GP(0) and the instruction does not complete.',
  },
  'B-H16': {
    title: 'User code is refused where the kernel may not execute',
    happens:
      'With the workaround for iTLB multihit a user fetch from a large leaf gets a kernel #PF (0x11), and the guest oopses.',
    why: 'The check looks at the attributes only: a fetch without EXEC is a violation, whoever fetches and for whatever reason the leaf has no execute right.',
    mend: 'An exception is injected only when the leaf is as the attributes want it; otherwise it is rebuilt.',
  },
  'B-H17': {
    title: 'MBEC is assumed on AMD, and its register writes are unchecked',
    happens:
      'Bit 2 of a nested entry, there the user bit, is cleared for pages without EXEC: every access to them fails for ever. MOV to CR0 and CR4 pass without a look at the pins, and the injected address is stale.',
    why: '`enable_mbec` is a variable of kvm-intel that defaults to true and is used from kvm; the checks are in the VMX handlers only.',
    mend: 'Execution is denied by GMET where the processor has it and not at all otherwise (reported as weakened); the SVM handlers check the pins.',
    notShown: 'That kvm.ko then needs kvm-intel.ko and does not link unless both are built in.',
  },
  'B-H18': {
    title: 'Nonsensical rights are accepted',
    happens: 'Write or execute without read, or immutable alone, are stored; read is never withheld.',
    why: 'Any non-empty combination of the four bits passes, and the builder of entries never looks at READ.',
    mend: 'Rights without READ are refused.',
  },
  'B-H19': {
    title: 'A guest floods the host log',
    happens: 'Every range of every list writes a line.',
    why: 'The messages are not rate-limited.',
    mend: 'They are.',
  },
  'B-H20': {
    title: "The host's control registers decide about the guest's",
    happens:
      'CR4 bits that the host does not use are silently not pinned, with success; bits that the guest has not set are pinned, and lock it out of its own register.',
    why: "The masks are compared with the host's CR0 and CR4.",
    mend: "A pin must be set in the calling guest's own register; otherwise the call is refused.",
  },
  'B-NESTED': {
    title: 'A guest inside the guest is judged without mode-based execute control',
    happens:
      'An L2 can execute nothing that the kernel of L1 may not, its user programs included: each of their fetches is a #PF that no handler can mend.',
    why: 'The control is cleared for L2, so that bit 2 of an entry decides about all code; entries that deny execution to the kernel have only bit 10 (Heki v2 5/19).',
    mend: 'When memory is protected no L2 is entered, and VM entry says so.',
  },
} as const satisfies { readonly [id: string]: KvmDefect };

/** The id of a defect: `B-H1` ... `B-H20`, and `B-NESTED`, which was found when the model was built. */
export type KvmDefectId = keyof typeof kvmDefects;

/** Which defects a VM has. */
export type KvmDefectSwitches = { readonly [id in KvmDefectId]: boolean };

/** All switches on (`rfc-v2`) or off (`hardened`), but for `overrides`. */
export function defectSwitches(
  profile: 'rfc-v2' | 'hardened',
  overrides: { readonly [id in KvmDefectId]?: boolean } = {},
): KvmDefectSwitches {
  const switches: { [id: string]: boolean } = {};
  for (const id of Object.keys(kvmDefects)) {
    switches[id] = overrides[id as KvmDefectId] ?? profile === 'rfc-v2';
  }
  return switches as KvmDefectSwitches;
}
