/** Where an attack that was published stands in the lab. */
export type Standing =
  /** Tried, by these of the catalogue. `note`: what of it is not. */
  | { readonly kind: 'tried'; readonly by: readonly string[]; readonly note?: string }
  /** Shown by another part of the project: which. */
  | { readonly kind: 'elsewhere'; readonly where: string }
  /** The model has no such part: why. */
  | { readonly kind: 'not expressible'; readonly why: string }
  /** It is about something else than the integrity of a kernel's code: why. */
  | { readonly kind: 'out of scope'; readonly why: string };

/** An attack as the literature has it. Its number is its place in the list. */
export interface PublishedAttack {
  readonly title: string;
  readonly standing: Standing;
}

const tried = (title: string, by: readonly string[], note?: string): PublishedAttack => ({
  title,
  standing: { kind: 'tried', by, ...(note === undefined ? {} : { note }) },
});
const elsewhere = (title: string, where: string): PublishedAttack => ({
  title,
  standing: { kind: 'elsewhere', where },
});
const notExpressible = (title: string, why: string): PublishedAttack => ({
  title,
  standing: { kind: 'not expressible', why },
});
const outOfScope = (title: string, why: string): PublishedAttack => ({
  title,
  standing: { kind: 'out of scope', why },
});

/** Every known attack on hypervisor-enforced kernel integrity, and where each stands. Sources are with the attacks of the catalogue. */
export const PUBLISHED_ATTACKS: readonly PublishedAttack[] = [
  tried('store to text through its own mapping', ['store-text']),
  tried('store to text by the direct map', ['store-text-direct-map']),
  tried('set R/W in the PTE, store to text', ['store-text-after-pte-edit', 'store-module-text']),
  tried('clear NX in the PTE, run data', ['execute-data', 'execute-direct-map']),
  tried("ask the hypervisor for r-x of a page with code of one's own", [
    'ask-for-execution',
    'ask-for-write-to-text',
    'ask-for-write-to-rodata',
    'ask-for-write-to-module',
    'open-sealed-text',
  ]),
  tried('point text at another executable frame', ['remap-text', 'remap-module-text']),
  tried("point rodata at a page of one's own", [
    'remap-rodata',
    'store-rodata-after-pte-edit',
    'store-module-rodata',
    'remap-idt',
  ]),
  tried('map a protected frame a second time, writable', [
    'store-text-second-mapping',
    'store-text-large-page',
  ]),
  tried('have a mapping approved because its frame is', [
    'execute-text-elsewhere-and-ask',
    'execute-module-elsewhere',
  ]),
  tried(
    'a legitimate writable alias keeps its right when rights are the union of all mappings',
    ['call-vmap-module'],
    "`heki audit` finds such text in a kernel's tables, and `heki protect` says that no right to execute is granted for it",
  ),
  tried('use a right on another processor after it was taken away', ['race-stale-translation']),
  tried('have a device write into text', ['dma-to-text']),
  tried('have the VMM or the hypervisor write there as a confused deputy', [
    'hypervisor-store-to-text',
    'vmm-store-to-text',
  ]),
  tried('have the instruction emulator do what the processor would refuse', [
    'clear-smep-emulated',
    'hypervisor-store-to-text',
  ]),
  tried("write to Heki's own state in the guest", ['switch-heki-off', 'hijack-heki-operations']),
  tried('a request for fewer rights is dropped: a page stays writable and executable', [
    'store-module-text-after-poke',
    'execute-freed-bpf',
  ]),
  tried('page lists that the parser does not bound', [
    'list-too-many-entries',
    'list-cycle',
    'list-unreadable',
    'list-unbounded-range',
  ]),
  tried('a list without entries, chained to itself, for a secure kernel', ['list-cycle']),
  tried('a request that is refused is in force by half', ['list-half-applied']),
  tried('memory for which no request was made', ['execute-plugged-memory', 'execute-firmware']),
  tried('one large leaf over pages with different rights', ['store-text-large-page']),
  tried('delete a memslot and create it again', ['recreate-memslot']),
  tried('the balloon, or the VMM, swaps the frame behind a protected page', [
    'replace-host-frame',
    'race-balloon',
  ]),
  tried('plug memory in over a protected range', ['recreate-memslot', 'execute-plugged-memory']),
  outOfScope(
    'flip bits of text by Rowhammer, over pages that guests share',
    'DRAM cells and pages shared between guests are no part of the model',
  ),
  tried('restore a state from before protection began', ['roll-back-protection']),
  elsewhere(
    'migration loses pins and rights',
    'the conformance kit of backends saves and restores: what was enforced must be, or the state is refused (B-H14)',
  ),
  tried('INIT and SIPI: pins keep a processor from starting, or are gone after it', [
    'start-processor-without-pins',
    'race-init-pin',
    'execute-data-unpaged',
  ]),
  tried('RSM loads CR0 and CR4 behind the pins', ['resume-without-smep']),
  tried('CR0.WP belongs to the guest: a pin that is hollow', ['clear-wp', 'store-text-wp-clear']),
  tried('clear SMEP, run a page of a program', [
    'clear-smep',
    'clear-smap',
    'clear-umip',
    'execute-user-page',
  ]),
  tried('run a page of a program on a processor where SMEP is not pinned', ['execute-user-page-after-init']),
  tried('change LSTAR or SYSENTER_EIP', ['set-lstar', 'set-sysenter-eip', 'set-gs-base']),
  tried("LIDT or LGDT of a table of one's own", ['load-idt', 'load-gdt']),
  tried('change the IDT by its frame, or by its mapping', ['store-idt', 'remap-idt']),
  tried('clear EFER.NXE', ['clear-nxe'], 'memory types (PAT, MTRRs) have no effect in the model'),
  tried('move the local APIC over a protected page', ['move-apic']),
  tried("a guest of one's own, with second-level tables that allow all", [
    'store-text-from-guest',
    'execute-data-in-guest',
    'leave-guest-without-smep',
  ]),
  notExpressible(
    'VMFUNC: switch to laxer second-level tables',
    'no machine here gives its guest a list of EPTPs: VMFUNC exits, or is #UD',
  ),
  notExpressible(
    '#VE as an oracle or for a hijack',
    '`@heki/ept` and `@heki/vcpu` have #VE, and no machine here turns it on',
  ),
  tried(
    'holes of HLAT: restart, prefix, aliases of its tables',
    ['remap-text', 'execute-text-elsewhere', 'execute-text-unpaged'],
    'owners of HLAT tables with such a hole are tried by the tests of `@heki/kvm`',
  ),
  tried('accessed and dirty flags as a way to write: paging-write', ['walk-over-rodata']),
  elsewhere(
    'impossible combinations of EPT rights',
    'no request of a guest or a VMM names them; `@heki/ept` refuses to write such an entry, and judges one that it meets as a misconfiguration',
  ),
  tried('touch a protected page, and be retried for ever', ['store-text-after-pte-edit', 'execute-data']),
  elsewhere(
    'flood the host with requests and with its log',
    'tests of `@heki/kvm`: B-H19, budgets of the log and of requests',
  ),
  tried('make all memory immutable', ['list-immutable-everything']),
  notExpressible(
    'have a secure kernel set rights of text for kexec or for a ring buffer',
    'the secure kernel here sets rights of pages that it has types for alone, and has no switch for one that does not',
  ),
  notExpressible(
    'kexec with a wrong signature leaves its pages with other rights than they had',
    'as the one before',
  ),
  notExpressible(
    'have a secure kernel write its log where the guest says',
    "the secure kernel here has no ring buffer in the guest's memory",
  ),
  outOfScope(
    'have a secure kernel read memory that the guest names',
    'what is kept secret is no part of the model: it is about integrity',
  ),
  tried('patch a place that no patch is known of', ['patch-unknown-site']),
  tried("hand over a patch table of one's own with a signed module", [
    'forge-patch-table',
    'forge-sealed-sites',
  ]),
  tried('mix halves of two instructions at one site', ['mix-patch-halves', 'mix-sealed-halves']),
  tried('apply a patch after its page was freed', ['stale-patch', 'poke-released-init']),
  tried('relocation sites that the secure kernel takes over from the loader', [
    'change-relocation-sites',
    'change-relocated-call',
  ]),
  notExpressible(
    'relocations through which more bytes go unchecked',
    'modules of the lab name their sites by offsets, and have no tables of relocations',
  ),
  elsewhere(
    "bytes behind the section .text in a module's pages",
    'tests of `@heki/hyperv`: pages are compared whole, filled with zeros',
  ),
  tried('change a page between check and use', [
    'race-validate-module',
    'race-write-against-execute',
    'race-module-load',
    'race-sealed-load',
    'race-laid-out-module',
    'race-list-page',
    'race-kexec',
  ]),
  tried('unload a module that is in use', ['unload-module-in-use', 'retire-module-in-use', 'race-unload']),
  tried(
    'use the token of a module twice',
    ['give-init-back-twice'],
    'tests of `@heki/hyperv`: a token goes through its states once',
  ),
  tried(
    'bring a vulnerable module that somebody signed',
    ['vulnerable-module', 'withdrawn-module', 'unsigned-module'],
    'a blocklist stops what is on it',
  ),
  tried("link a signed module to symbols of one's own", ['shadow-export']),
  tried("int3 at a listed site, and a forged descriptor of text_poke's breakpoint handler", [
    'leave-breakpoint',
  ]),
  tried('return into text_poke, set_memory_x or the code that makes hypercalls', [
    'call-text-poke-kernel',
    'call-text-poke-module',
    'call-set-memory-x',
    'call-set-memory-rw',
    'call-function',
  ]),
  tried('trace functions as a rootkit does', ['trace-kernel', 'trace-module', 'race-ftrace-trampoline']),
  tried('a kprobe whose handler is data', ['probe-kernel', 'race-kprobe-slots']),
  notExpressible('a livepatch that was signed for another kernel', "the lab's kernel has no livepatches"),
  tried('spray code into constants of eBPF programs', ['execute-shifted-bpf', 'execute-blinded-bpf']),
  notExpressible(
    "the interpreter of eBPF as a machine of one's own",
    "the lab's kernel compiles programs and has no interpreter; nothing here stops what works by data alone, as store-credentials shows",
  ),
  tried('reuse a slot among compiled programs', ['execute-freed-bpf', 'race-bpf-window']),
  tried('run a freed page that was code', ['execute-freed-module', 'execute-freed-bpf']),
  notExpressible(
    'have text patched late for the number of processors',
    "the lab's kernel starts two processors, and lock prefixes are changed on a kernel with one",
  ),
  tried('change the trampoline in which processors start', ['store-trampoline']),
  notExpressible(
    'change the vector by which the kernel resumes from suspend',
    "the model's firmware resumes where the kernel left, not at an address in memory; the work itself is `suspend` in docs/workloads.md",
  ),
  outOfScope('change the image of a hibernated kernel', 'disks are no part of the model'),
  tried('kexec a kernel that nobody signed', ['kexec-unsigned']),
  tried(
    'code of firmware that is writable and executable',
    ['execute-firmware'],
    'calls of EFI runtime services are not modelled: a kernel that makes them must request their code',
  ),
  outOfScope(
    'bytecode of ACPI writes kernel memory',
    'an interpreter of AML is no part of the model; its stores are those of the kernel',
  ),
  tried('change the vDSO or the vsyscall page for all processes', ['store-vdso'], 'both lie in rodata'),
  notExpressible(
    '/dev/mem, ptrace, /proc/kcore',
    "the lab's kernel has no such files; what they store is what store-text-after-pte-edit stores",
  ),
  tried('user page tables as a way to write to text', ['store-text-from-user']),
  tried('change data alone', ['store-credentials'], 'no machine here seals data'),
  notExpressible('use a legitimate writer of sealed data', 'no machine here seals data'),
  notExpressible(
    "make the monitor's memory writable by a request",
    'frames of second-level tables and of monitors have no guest frame on the machines here',
  ),
  elsewhere('conversion between private and shared memory drops rights', 'tests of `@heki/kvm`: B-H11'),
  elsewhere(
    'the workaround for large executable pages refuses code of programs',
    'tests of `@heki/kvm`: B-H16; it takes work away, and gives an attacker nothing',
  ),
  tried('the window of text_poke is open for every processor', [
    'race-poke-window',
    'race-bpf-window',
    'race-torn-patch',
  ]),
  tried('store through the mapping that text_poke writes by', ['race-poke-window']),
  notExpressible(
    "a monitor of text's hashes that is switched off because it reports legitimate tracing",
    'no machine here compares hashes from time to time',
  ),
  tried('two guest frames over one host frame', ['second-memslot', 'execute-second-memslot']),
  tried('switch security hooks off by a state that is legitimate', [
    'switch-static-key',
    'flip-frozen-key',
    'retarget-static-call',
  ]),
  tried('take lock prefixes away while several processors run', ['take-lock-away']),
  tried('jump into the int3 between functions with a forged descriptor', ['forge-breakpoint']),
  tried(
    'flip the static key of cr_pinning',
    ['switch-static-key'],
    "that key is one of the kernel's; pins of the hypervisor do not go by it",
  ),
  elsewhere(
    'a forged boot vector: mitigations off',
    "tests of `@heki/machine`: SEAL of a kernel's package refuses it, and takes it under B-A12; `heki audit --vmlinux` names it; docs/authenticated-code.md",
  ),
  elsewhere(
    "a runtime constant points to a table of the attacker's",
    'tests of `@heki/patch-sites`: no boot vector that an owner of code takes has one; docs/authenticated-code.md',
  ),
  notExpressible(
    "a pointer in ftrace's trampoline names data of the attacker",
    "trampolines of the lab's kernel hold no pointers; race-ftrace-trampoline stores code there",
  ),
  tried('reuse a slot of a JIT pack, or the pokes of compiled code', [
    'store-bpf',
    'execute-freed-bpf',
    'race-bpf-window',
  ]),
  notExpressible(
    "lay a module's per-CPU data over another object",
    'modules of the lab have no per-CPU data, and an owner of code resolves nothing into it',
  ),
  notExpressible(
    'relocations of a livepatch that come late into sealed text',
    "a relocation lies in the image that has it, and is applied when that is loaded: an owner of code has no request for another's",
  ),
  tried('have the owner of code make a module over a frame that is in use', ['load-over-page-table']),
  tried(
    'point CR3 at a frame with paging-write access',
    ['walk-over-rodata'],
    'tests give paging-write to every frame, and the attack succeeds',
  ),
  tried('execute an alias of text at another address', ['execute-text-elsewhere']),
];
