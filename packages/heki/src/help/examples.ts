/** What help pages show below the options: each command in use, and what its exit codes say where they say more than usual. */

export const PROTECT_EXAMPLES = `
Examples:
  heki protect                                 protect and attack the Debian kernel that comes with heki
  heki protect guest.elf.gz                    a QEMU dump (dump-guest-memory); guest.json beside it names its memory
  heki protect guest.elf --memory-map iomem    with the guest's own /proc/iomem (read as root)
  heki protect --profile rfc-v2 --no-mbec      the series as published, on a processor without MBEC
  heki protect --defect B-H1                   one defect of the series (docs/defects.md), the rest mended
  heki protect small.elf.gz --vmlinux vmlinuz  with the instructions that attacks change, out of the kernel's image
  heki protect guest.elf --cpu qemu64          as on QEMU's default CPU, which has no SMEP
  heki protect --kernel-config .config         what a kernel that was built so would say
  heki protect --hypervisor ./mine.mjs         on a hypervisor of your own (docs/write-a-backend.md)
  heki protect --attack ./mine.mjs             with an attack of your own (docs/write-an-attack.md)
  heki protect --json | jq '.verdict'
  heki protect --profile rfc-v2 --strict       fail for what the published series does not keep`;

export const WALK_EXAMPLES = `
Examples:
  heki walk                                                          every leaf of the kernel that comes with heki
  heki walk guest.elf.gz                                             of the kernel half of a dump
  heki walk guest.elf.gz --range ffffffff81000000-ffffffff82000000   the kernel's text
  heki walk guest.elf --range _stext-_etext --symbols                the same by its symbols, and named
  heki walk guest.elf.gz --format info-tlb                           exactly the text of QEMU's "info tlb"
  heki walk guest.elf.gz --user --cpu-index 1                        the program that CPU 1 runs
  heki walk guest.elf.gz --json | jq '.leaves[] | select(.effective == "rwx")'`;

export const TRANSLATE_EXAMPLES = `
Examples:
  heki translate 0xffffffff81000000                               in the kernel that comes with heki
  heki translate guest.elf.gz 0xffffffff81000000                  a data read at CPL 0
  heki translate guest.elf.gz 0xffffffff81000000 --access write   why a store to the kernel's text faults
  heki translate guest.elf vfs_read+0x10 --access write           by a symbol, out of the kernel's own memory
  heki translate guest.elf.gz 0x401945 --user --access fetch      what the program on the first CPU runs
  heki translate guest.elf.gz 0x401945 --cr3 0x5d10000            in the other half of page-table isolation
  heki translate guest.elf.gz 0xffff888000000000 --access fetch --user --json`;

export const INSPECT_EXAMPLES = `
Examples:
  heki inspect                      the Debian kernel that comes with heki
  heki inspect guest.elf            a dump, of which only what is looked at is read
  heki inspect qmp:/run/guest.qmp   the page tables and registers of a guest that runs
  heki inspect --no-open guest.elf  on a machine without a browser: through "ssh -L", from another
  heki inspect --story found.json   what "heki explore --json > found.json" found, as a story
  heki inspect --no-open --json     for a script: {"url": ..., "port": ..., "pid": ...}
  heki inspect --static site        a web site, in which visitors open dumps of their own`;

export const SYMBOLS_EXAMPLES = `
Examples:
  heki symbols guest.elf                          all of them, as /proc/kallsyms lists them
  heki symbols guest.elf vfs_read                 where one is
  heki symbols guest.elf '__x64_sys_*'            those of a pattern
  heki symbols guest.elf ffffffff813a5b10         what is there: vfs_read+0x10, in kernel text
  heki symbols guest.elf 'vfs_read+0x10/0x1b0'    as a trace of the kernel's has it
  heki symbols guest.elf 'xfs_iget [xfs]'         of a module; xfs:xfs_iget is the same
  heki symbols guest.elf --modules                the modules that are loaded, and where their sections are
  heki symbols small.elf.gz --symbols System.map  of a dump without contents
  heki symbols small.elf.gz --vmlinux vmlinuz     by the kallsyms of the kernel's image
  heki symbols guest.elf --json | jq '.kaslr'

Exit codes: 0 found, 1 no symbol of that name, 2 called wrongly, 3 the snapshot cannot be read or has no symbols.`;

export const READ_EXAMPLES = `
Examples:
  heki read guest.elf vfs_read                    the beginning of a function, disassembled
  heki read guest.elf vfs_read+0x20 64
  heki read guest.elf sys_call_table 0x100        data, as hexadecimal
  heki read guest.elf ffff888001000000 --as code  the same text through the direct map
  heki read small.elf.gz vfs_read --vmlinux linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb
  heki read guest.elf vfs_read --json | jq '.stretches[].code[].text'

Exit codes: 0 read, 1 some bytes are not mapped or not in the snapshot, 2 called wrongly, 3 the snapshot cannot be read.`;

export const FIND_EXAMPLES = `
Examples:
  heki find guest.elf --permissions rwx           what can be written and executed through one mapping
  heki find guest.elf --physical 1000000-1200000  where physical memory is mapped
  heki find guest.elf --symbol vfs_read           every mapping of the page that a function is in
  heki find guest.elf --aliases 3                 frames that are mapped three times and more
  heki find guest.elf --region 'module xfs' --permissions ?w?
  heki find guest.elf --permissions rw- --aliases 2 --json | jq '.found[] | .region'

Exit codes: 0 found, 1 there is none, 2 called wrongly, 3 the snapshot cannot be read.`;

export const BOOT_EXAMPLES = `
Examples:
  heki boot                                          a kernel of 512 MiB, and the rights of its pages in the end
  heki boot --memory 4GiB --vcpus 4 --profile rfc-v2
  heki boot --kernel /boot/System.map-6.1.0-23-amd64 the image of another kernel
  heki boot --cmdline rodata=off                     what Heki protects of a kernel that protects nothing
  heki boot --scenario module-churn.json             a life: modules, eBPF, probes, processors
  heki boot --attack ./mine.mjs                      an attack of your own in the end (docs/write-an-attack.md)
  heki boot --workload all                           which legitimate work protection breaks
  heki boot --workload all --hypervisor hyperv       the same without Heki and on Hyper-V`;

export const ATTACK_EXAMPLES = `
Examples:
  heki attack                                       every attack on every machine: about a minute
  heki attack --list                                their names
  heki attack ask-for-execution remap-text          two that Heki does not stop, told in detail
  heki attack store-text-after-pte-edit --prove     and what stopped it, proven by taking it out
  heki attack --machine hardened lvbs --json | jq '.counts'
  heki attack --snapshot guest.elf                  what of them a real kernel's page tables decide
  heki attack --markdown attacks.md --html attacks.html

Exit codes: 0 every claim is kept, 1 an attack succeeds that a machine claims to stop, 2 called wrongly.
Machines that are there to show published defects (rfc-v2, lvbs-2026-02) do not make it fail.`;

export const AUDIT_EXAMPLES = `
Examples:
  heki audit guest.elf.gz                                   the verdict, a picture of memory, the findings
  heki audit guest.elf --memory-map iomem --fail-on medium
  heki audit guest.elf --vmlinux linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb   and what differs from the image
  heki audit guest.elf --sarif audit.sarif                  for GitHub's code scanning
  heki audit guest.elf --html audit.html                    a page with a map of memory, for a browser
  heki audit guest.elf --baseline known.json --update-baseline
  heki audit guest.elf --baseline known.json                only what is new makes it fail
  heki audit guest.elf --json --no-heki | jq '.findings[] | select(.fails)'

Exit codes: 0 no finding at or above --fail-on, 1 a finding, 2 called wrongly, 3 the snapshot cannot be read.`;

export const DIFF_EXAMPLES = `
Examples:
  heki diff morning.elf.gz evening.elf.gz
  heki diff golden.elf.gz guest.elf.gz --json | jq '.appeared'

Exit codes: 0 nothing differs, 1 something does, 2 called wrongly, 3 a snapshot cannot be read.`;

export const WATCH_EXAMPLES = `
Examples:
  heki watch qmp:/run/guest.qmp                             until Ctrl-C
  heki watch qmp:/run/guest.qmp --every 5s --json >> alarms.jsonl
  heki watch gdb:localhost:1234 --until-finding && echo never

Exit codes: 0 no alarm, 1 an alarm, 2 called wrongly, 3 the guest cannot be read.`;

export const EXPLAIN_EXAMPLES = `
Examples:
  heki explain
  heki explain heki/wx-alias`;

export const REPLAY_EXAMPLES = `
Examples:
  heki replay real-6.1-256m.json.gz                        10 modules, 8 eBPF programs, ftrace and kprobes
  heki replay real-6.1-256m.json.gz --profile rfc-v2       what the series as published makes of it
  heki replay real-6.1-churn.json.gz --json | jq '.ranges'`;

export const KUNIT_EXAMPLES = `
Examples:
  heki kunit                              every test, each in a kernel of its own
  heki kunit --hypervisor none            the four tests of the series show an unprotected kernel
  heki kunit --profile rfc-v2 --test 2    as heki_test=2 does: the store is retried for ever
  heki kunit --suite heki_model           hypercall arguments, modules, text patching, reuse of pages
  heki kunit --cmdline heki=0             a kernel that does not want Heki
  heki kunit --list                       the tests, and what the ports expect otherwise than the published ones
  heki kunit --json | jq '.suites[].tests[] | select(.status == "not ok")'

Exit codes: 0 no test failed, 1 one did, under rfc-v2 as well, 2 called wrongly.`;

export const EXTRACT_EXAMPLES = `
Examples:
  heki extract guest.elf -o small.elf.gz                    15 KiB of 256 MiB; small.json beside it, if there is guest.json
  heki extract guest.elf -o small.elf.gz --memory-map iomem with the guest's own /proc/iomem
  heki extract guest.elf -o small.elf.gz --user             with what user programs map, for translate --user
  heki extract guest.elf -o small.elf.gz --redact           without addresses that KASLR chose, and without names
  heki extract guest.elf -o - | ssh host 'cat > small.elf.gz'`;

export const COMPLETION_EXAMPLES = `
Examples:
  source <(heki completion bash)     for this shell; in ~/.bashrc for all
  source <(heki completion zsh)      after compinit
  heki completion fish | source`;

/** What `protect`, `boot` and `replay` say by their exit codes. */
export const EXIT_CODES = `
Exit codes:
  0  nothing was found that makes it fail; an attack that no hypervisor claims to stop is shown in red, and is not a failure
  1  a finding: Heki was refused; an attack gets through that the machine claims to stop; pages are granted what
     no mapping of them allows; page tables have no end; work breaks or a step comes out otherwise than expected.
     Also a machine that cannot be made, and an output that cannot be written
  2  wrong usage
  3  a file cannot be read: it is missing, damaged, or something else
  rfc-v2 is there to show its defects: claims, rights and broken work make it fail only with --strict.`;

export const EXPLORE_EXAMPLES = `
Examples:
  heki explore                                      the hardened KVM, all that can happen in two actions
  heki explore --profile rfc-v2                     what the series as published lets through
  heki explore --defect B-H10 --depth 3 --property P2
  heki explore --machine xen --without vmm device
  heki explore --machine guest --defect B-G22
  heki explore --machine authority --defect B-A4 --depth 6
                                                    authenticated code that grants before it flushes
  heki explore --machine abstract-freeze-flush-check-hlat
                                                    searched to its end: nothing falls
  heki explore --defect B-H1 --json > found.json; heki explore --replay found.json
  heki explore --defect B-H1 --write found          each story as a file for --replay, and as a test
  heki explore --json | jq '.properties[] | select(.story) | .story'

Exit codes: 0 nothing fell, 1 a property fell, 2 called wrongly, 3 a module cannot be read.`;

export const FLEET_EXAMPLES = `
Examples:
  heki fleet run 'dumps/*.elf.gz'                    audit them all, and tell of those that do not pass
  heki fleet results --csv > results.csv             of all that was ever audited there
  heki fleet results --finding heki/wx-alias --json
  heki fleet report --html fleet.html                a page: over time, by kind, guests unlike their siblings
  heki fleet setup --database postgres://db/heki     make the tables, as their owner
  heki fleet submit guests.json --database postgres://db/heki
  heki fleet work --concurrency 4 --database postgres://db/heki
  heki fleet status --database postgres://db/heki

Exit codes: 0 done, 1 (run) a guest fails, cannot be read, or is set aside, 2 called wrongly, 3 the database cannot be reached.`;
