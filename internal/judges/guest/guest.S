# Executes sequences of instructions and tells what came of each over the serial port. It lies at 1 MiB, its program, an array of
# steps of 64 bytes behind a header of 64, at 0x110000; the tables and pages of a sequence lie between 8 and 16 MiB.
#
#   step:  u32 operation, u32 mode (bit 0: at CPL 3, bit 1: in a nested guest), u64 a, b, c, then nothing
#   line:  vector or 100, or 1000 plus the exit code; error code or EXITINFO1; CR2 or EXITINFO2; RAX: all in hex

.set PROGRAM, 0x110000
.set OWN_TABLES, 0x600000       # PML5, PML4, PDPT, PD of the first GiB; PD and PT of what CPL 3 uses
.set STACK, 0x60f000
.set FAULT_STACK, 0x611000
.set USER_STACK, 0x612000       # one page
.set VMCB, 0x620000
.set HOST_SAVE, 0x621000
.set TEST_AREA, 0x800000
.set TEST_TABLES_END, 0xa00000
.set TEST_PAGES_END, 0xa20000
.set LARGE_PAGE, 0xc00000       # 2 MiB
# Where CPL 3 finds the fragments and its stack: in the first PML4 entry, so that every address space of a sequence has them.
.set USER_BASE, 0x1000000000
.set USER_FRAGMENTS, USER_BASE
.set USER_STACK_TOP, USER_BASE + 0x9000

.set HEADER_LA57, PROGRAM + 8   # u32
.set HEADER_STEPS, PROGRAM + 12 # u32

.set DONE, 0x100
.set NESTED_EXIT, 0x1000

.code32
.globl _start
_start:
    mov $STACK, %esp
    # Tables of its own: the first GiB to itself, for the supervisor.
    mov $OWN_TABLES, %edi
    xor %eax, %eax
    mov $0x6000 / 4, %ecx
    rep stosl
    movl $OWN_TABLES + 0x1027, OWN_TABLES
    movl $OWN_TABLES + 0x2027, OWN_TABLES + 0x1000
    movl $OWN_TABLES + 0x3023, OWN_TABLES + 0x2000
    movl $OWN_TABLES + 0x4027, OWN_TABLES + 0x2000 + 64 * 8
    movl $OWN_TABLES + 0x5027, OWN_TABLES + 0x4000
    mov $OWN_TABLES + 0x3000, %edi
    mov $0xe3, %eax
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    cmp $OWN_TABLES + 0x4000, %edi
    jne 1b
    mov $fragments, %eax
    or $0x25, %eax
    mov %eax, OWN_TABLES + 0x5000
    add $0x1000, %eax
    mov %eax, OWN_TABLES + 0x5008
    movl $USER_STACK + 0x67, OWN_TABLES + 0x5000 + 8 * 8

    mov $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
    mov $OWN_TABLES + 0x1000, %ebx
    cmpl $0, HEADER_LA57
    je 2f
    or $0x1000, %eax
    mov $OWN_TABLES, %ebx
2:  mov %eax, base_cr4
    mov %ebx, own_root
    mov %eax, %cr4
    mov %ebx, %cr3
    mov $0xc0000080, %ecx
    mov $0x901, %eax
    xor %edx, %edx
    wrmsr
    mov $0x80010033, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long

.code64
long:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    mov $STACK, %rsp
    # An IDT: 32 exceptions and vector 0x80, which CPL 3 may call.
    lea idt(%rip), %rdi
    lea stubs(%rip), %rsi
    xor %ecx, %ecx
3:  mov $0x8e, %edx
    call gate
    add $16, %rsi
    inc %ecx
    cmp $32, %ecx
    jne 3b
    lea idt + 0x80 * 16(%rip), %rdi
    lea finished(%rip), %rsi
    mov $0xee, %edx
    call gate
    # The TSS and its descriptor.
    lea tss(%rip), %rax
    movq $FAULT_STACK, 4(%rax)
    movq $FAULT_STACK, 36(%rax)
    lea gdt + 0x30(%rip), %rdi
    mov %rax, %rdx
    and $0xffffff, %edx
    shl $16, %rdx
    or $103, %rdx
    mov $0x890000000000, %rcx
    or %rcx, %rdx
    mov %rdx, (%rdi)
    movq $0, 8(%rdi)
    lidt idt_pointer
    mov $0x30, %ax
    ltr %ax

    # Eight bits a character.
    mov $0x3fb, %dx
    mov $3, %al
    out %al, %dx

    # What the processor has.
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    mov %ecx, features
    mov $0x80000001, %eax
    cpuid
    mov %ecx, amd_features

    mov $PROGRAM + 64, %r15
    mov HEADER_STEPS, %r14d
run:
    test %r14, %r14
    jz over
    mov (%r15), %eax
    mov %r15, step
    add $64, %r15
    dec %r14
    mov %r15, next_step
    mov %r14, steps_left
    cmp $16, %eax
    jb inner
    # An instruction: the address of its fragment.
    sub $16, %eax
    lea fragments(%rip), %rbx
    shl $5, %rax
    add %rax, %rbx
    mov step, %r13
    testl $2, 4(%r13)
    jnz nested
    mov 8(%r13), %rdi
    mov 16(%r13), %rsi
    mov 24(%r13), %rdx
    testl $1, 4(%r13)
    jnz user
    xor %eax, %eax
    jmp *%rbx

user:
    sub $fragments, %rbx
    mov $USER_FRAGMENTS, %rax
    add %rax, %rbx
    pushq $0x23                 # SS
    mov $USER_STACK_TOP, %rax
    push %rax
    pushf
    pushq $0x2b                 # CS
    push %rbx
    xor %eax, %eax
    iretq

# The end of an instruction that completed: vector 0x80.
finished:
    mov %rax, result_rax
    movq $DONE, result_vector
    movq $0, result_error
    movq $0, result_address
    jmp told

# The end of one that did not.
.macro stub vector, code
    .balign 16
    .if \code == 0
    pushq $0
    .endif
    pushq $\vector
    jmp faulted
.endm
.balign 16
stubs:
    stub 0, 0
    stub 1, 0
    stub 2, 0
    stub 3, 0
    stub 4, 0
    stub 5, 0
    stub 6, 0
    stub 7, 0
    stub 8, 1
    stub 9, 0
    stub 10, 1
    stub 11, 1
    stub 12, 1
    stub 13, 1
    stub 14, 1
    stub 15, 0
    stub 16, 0
    stub 17, 1
    stub 18, 0
    stub 19, 0
    stub 20, 0
    stub 21, 1
    stub 22, 0
    stub 23, 0
    stub 24, 0
    stub 25, 0
    stub 26, 0
    stub 27, 0
    stub 28, 0
    stub 29, 1
    stub 30, 1
    stub 31, 0
.balign 16

faulted:
    pop %rax
    mov %rax, result_vector
    pop %rax
    mov %rax, result_error
    xor %eax, %eax
    cmpq $14, result_vector
    jne 1f
    mov %cr2, %rax
1:  mov %rax, result_address
    movq $0, result_rax

told:
    mov $STACK, %rsp
    cld
    call report
again:
    mov next_step, %r15
    mov steps_left, %r14
    jmp run

report:
    mov result_vector, %rax
    call hex
    mov $' ', %al
    call put
    mov result_error, %rax
    call hex
    mov $' ', %al
    call put
    mov result_address, %rax
    call hex
    mov $' ', %al
    call put
    mov result_rax, %rax
    call hex
    mov $'\n', %al
    jmp put

hex:
    mov %rax, %rbx
    mov $60, %cl
    xor %r8d, %r8d
1:  mov %rbx, %rax
    shr %cl, %rax
    and $15, %eax
    or %eax, %r8d
    jnz 2f
    test %cl, %cl
    jnz 4f
2:  cmp $10, %al
    jb 3f
    add $'a' - '0' - 10, %al
3:  add $'0', %al
    call put
4:  sub $4, %cl
    jns 1b
    ret

put:
    push %rdx
    push %rax
    mov $0x3fd, %dx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    pop %rax
    mov $0x3f8, %dx
    out %al, %dx
    pop %rdx
    ret

# RDI: the gate, advanced; RSI: the handler; EDX: its access byte. Stack 1 of the TSS.
gate:
    mov %rsi, %rax
    mov %ax, (%rdi)
    movw $8, 2(%rdi)
    movb $1, 4(%rdi)
    mov %dl, 5(%rdi)
    shr $16, %rax
    mov %ax, 6(%rdi)
    shr $16, %rax
    mov %eax, 8(%rdi)
    movl $0, 12(%rdi)
    add $16, %rdi
    ret

over:
    mov $'.', %al
    call put
    mov $'\n', %al
    call put
    # QEMU's isa-debug-exit, then Bochs's shutdown port.
    mov $0xf4, %dx
    xor %eax, %eax
    out %al, %dx
    mov $0x8900, %dx
    lea shutdown(%rip), %rsi
    mov $8, %ecx
    rep outsb
    cli
    hlt
shutdown:
    .ascii "Shutdown"

# Steps that are no instructions of the sequence.
inner:
    mov step, %r13
    mov 8(%r13), %rdi
    mov 16(%r13), %rsi
    lea inner_table(%rip), %rbx
    movslq (%rbx, %rax, 4), %rax
    add %rbx, %rax
    jmp *%rax
inner_table:
    .long start_over - inner_table
    .long poke - inner_table
    .long peek - inner_table
    .long begin - inner_table
    .long begin_nested - inner_table
    .long describe - inner_table
    .long peek_descriptor - inner_table

# 0: the registers as at first, all translations dropped, the tables of a sequence empty, its pages full of RET.
start_over:
    mov $0x80010033, %eax
    mov %rax, %cr0
    mov $0xc0000080, %ecx
    mov $0xd01, %eax
    xor %edx, %edx
    wrmsr
    # PCIDE cannot be set while CR3 has low bits, nor cleared without a flush: both go.
    mov own_root, %rax
    mov %rax, %cr3
    testl $8, features          # PKU
    jz 1f
    mov base_cr4, %eax
    or $0x400000, %eax
    mov %rax, %cr4
    xor %eax, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    wrpkru
1:  testl $0x80000000, features # PKS
    jz 2f
    mov $0x6e1, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
2:  mov base_cr4, %eax
    or $0x80, %eax
    mov %rax, %cr4
    and $~0x80, %eax
    mov %rax, %cr4
    pushq $2
    popf
    xor %eax, %eax
    lldt %ax
    mov $TEST_AREA, %rdi
    xor %eax, %eax
    mov $(TEST_TABLES_END - TEST_AREA) / 8, %ecx
    rep stosq
    mov $0xc3c3c3c3c3c3c3c3, %rax
    mov $(TEST_PAGES_END - TEST_TABLES_END) / 8, %ecx
    rep stosq
    mov %rax, LARGE_PAGE
    jmp again

# 1, 2: eight bytes of memory.
poke:
    mov %rsi, (%rdi)
    jmp again
peek:
    mov (%rdi), %rax
    mov %rax, result_rax
    movq $DONE, result_vector
    movq $0, result_error
    movq $0, result_address
    call report
    jmp again

# 3: the address space of the sequence, a = its root.
begin:
    mov %rdi, %cr3
    jmp again

# 5, 6: a descriptor of the GDT, a = selector, b and c = its halves.
describe:
    mov 24(%r13), %rdx
    lea gdt(%rip), %rbx
    mov %rsi, (%rbx, %rdi)
    mov %rdx, 8(%rbx, %rdi)
    jmp again
peek_descriptor:
    lea gdt(%rip), %rbx
    mov (%rbx, %rdi), %rax
    mov %rax, result_rax
    movq $DONE, result_vector
    movq $0, result_error
    movq $0, result_address
    call report
    jmp again

# 4: a guest over nested tables: a = root of its address space, b = root of the nested tables.
begin_nested:
    mov %rdi, %r8
    mov %rsi, %r9
    mov $0xc0000080, %ecx
    rdmsr
    or $0x1000, %eax
    wrmsr
    mov $0xc0010117, %ecx
    mov $HOST_SAVE, %eax
    xor %edx, %edx
    wrmsr
    mov $VMCB, %rdi
    xor %eax, %eax
    mov $512, %ecx
    rep stosq
    mov $VMCB, %rbx
    movl $0xffffffff, 0x8(%rbx)         # every exception
    movl $0x00200000, 0xc(%rbx)         # INTn
    movl $0x00000001, 0x10(%rbx)        # VMRUN
    movl $1, 0x58(%rbx)                 # ASID
    movl $1, 0x5c(%rbx)                 # flush the TLB
    movq $1, 0x90(%rbx)                 # nested paging
    mov %r9, 0xb0(%rbx)
    movabs $0x0007040600070406, %rax
    mov %rax, 0x668(%rbx)
    lea 0x400(%rbx), %rbx
    movw $16, 0x00(%rbx)                # ES, CS, SS, DS
    movw $0xc93, 0x02(%rbx)
    movl $-1, 0x04(%rbx)
    movw $8, 0x10(%rbx)
    movw $0x29b, 0x12(%rbx)
    movl $-1, 0x14(%rbx)
    movw $16, 0x20(%rbx)
    movw $0xc93, 0x22(%rbx)
    movl $-1, 0x24(%rbx)
    movw $16, 0x30(%rbx)
    movw $0xc93, 0x32(%rbx)
    movl $-1, 0x34(%rbx)
    movzwl gdt_pointer, %eax
    mov %eax, 0x64(%rbx)
    mov gdt_pointer + 2, %rax
    mov %rax, 0x68(%rbx)
    movzwl idt_pointer, %eax
    mov %eax, 0x84(%rbx)
    mov idt_pointer + 2, %rax
    mov %rax, 0x88(%rbx)
    movw $0x30, 0x90(%rbx)              # TR, busy
    movw $0x8b, 0x92(%rbx)
    movl $103, 0x94(%rbx)
    lea tss(%rip), %rax
    mov %rax, 0x98(%rbx)
    movq $0x1d01, 0xd0(%rbx)            # EFER
    mov base_cr4, %eax
    mov %rax, 0x148(%rbx)
    mov %r8, 0x150(%rbx)
    mov $0x80010033, %eax
    mov %rax, 0x158(%rbx)
    movq $0x400, 0x160(%rbx)
    mov $0xffff0ff0, %eax
    mov %rax, 0x168(%rbx)
    movq $2, 0x170(%rbx)
    jmp again

nested:
    mov $VMCB, %r12
    testl $1, 4(%r13)
    jnz 1f
    movw $8, 0x410(%r12)
    movw $0x29b, 0x412(%r12)
    movw $16, 0x420(%r12)
    movw $0xc93, 0x422(%r12)
    movb $0, 0x4cb(%r12)
    movq $FAULT_STACK - 0x100, 0x5d8(%r12)
    jmp 2f
1:  sub $fragments, %rbx
    mov $USER_FRAGMENTS, %rax
    add %rax, %rbx
    movw $0x2b, 0x410(%r12)
    movw $0x2fb, 0x412(%r12)
    movw $0x23, 0x420(%r12)
    movw $0xcf3, 0x422(%r12)
    movb $3, 0x4cb(%r12)
    mov $USER_STACK_TOP, %rax
    mov %rax, 0x5d8(%r12)
2:  mov %rbx, 0x578(%r12)
    movq $0, 0x5f8(%r12)
    movl $1, 0x5c(%r12)
    movq $0, 0xa8(%r12)
    mov 8(%r13), %rdi
    mov 16(%r13), %rsi
    mov 24(%r13), %rdx
    mov %r12, %rax
    clgi
    vmrun
    stgi
    mov $VMCB, %r12
    mov 0x5f8(%r12), %rax
    mov %rax, result_rax
    mov 0x78(%r12), %rcx
    mov %rcx, result_error
    mov 0x80(%r12), %rcx
    mov %rcx, result_address
    mov 0x70(%r12), %rax
    cmp $0x75, %rax
    jne 3f
    movq $DONE, result_vector
    movq $0, result_error
    movq $0, result_address
    jmp 5f
3:  movq $0, result_rax
    cmp $0x40, %rax
    jb 4f
    cmp $0x60, %rax
    jae 4f
    sub $0x40, %rax
    mov %rax, result_vector
    cmp $14, %rax
    je 5f
    movq $0, result_address
    jmp 5f
4:  add $NESTED_EXIT, %rax
    mov %rax, result_vector
5:  mov $STACK, %rsp
    call report
    jmp again

# One instruction each, in 32 bytes: RDI, RSI and RDX are what it takes, RAX what it gives. CPL 3 sees this page and the next.
.macro fragment
    int $0x80
    .balign 32
.endm
.balign 4096
.globl fragments
fragments:
    mov (%rdi), %al             # 16: one byte
    movzbl %al, %eax
    fragment
    mov (%rdi), %rax            # 17: eight bytes
    fragment
    mov %sil, (%rdi)            # 18
    fragment
    mov %rsi, (%rdi)            # 19
    fragment
    xchg %rsi, (%rdi)           # 20
    mov %rsi, %rax
    fragment
    call *%rdi                  # 21
    xor %eax, %eax
    fragment
    mov %rdi, %cr0              # 22
    fragment
    mov %rdi, %cr3              # 23
    fragment
    mov %rdi, %cr4              # 24
    fragment
    mov %cr0, %rax              # 25
    fragment
    mov %cr3, %rax              # 26
    fragment
    mov %cr4, %rax              # 27
    fragment
    mov %edi, %ecx              # 28
    mov %esi, %eax
    shr $32, %rsi
    mov %esi, %edx
    wrmsr
    xor %eax, %eax
    fragment
    mov %edi, %ecx              # 29
    rdmsr
    shl $32, %rdx
    or %rdx, %rax
    fragment
    push %rdi                   # 30: what SGDT gives then; INT needs the own table again
    shl $48, %rsi
    push %rsi
    lgdt 6(%rsp)
    sgdt 6(%rsp)
    mov 8(%rsp), %rax
    lgdt gdt_pointer
    fragment
    push %rdi                   # 31
    shl $48, %rsi
    push %rsi
    lidt 6(%rsp)
    sidt 6(%rsp)
    mov 8(%rsp), %rax
    lidt idt_pointer
    fragment
    lldt %di                    # 32
    fragment
    ltr %di                     # 33: what STR gives then; INT needs the own TSS again
    str %eax
    movb $0x89, gdt + 0x35
    mov $0x30, %ecx
    ltr %cx
    fragment
    invlpg (%rdi)               # 34
    fragment
    push %rdx                   # 35: type RDI, PCID RSI, address RDX
    push %rsi
    invpcid (%rsp), %rdi
    add $16, %rsp
    fragment
    clac                        # 36
    fragment
    stac                        # 37
    fragment
    mov %edi, %eax              # 38
    xor %ecx, %ecx
    xor %edx, %edx
    wrpkru
    xor %eax, %eax
    fragment
    smsw %rax                   # 39
    movzwl %ax, %eax
    fragment
    sub $16, %rsp               # 40: the base
    sgdt 6(%rsp)
    mov 8(%rsp), %rax
    add $16, %rsp
    fragment
    sub $16, %rsp               # 41
    sidt 6(%rsp)
    mov 8(%rsp), %rax
    add $16, %rsp
    fragment
    sldt %eax                   # 42
    movzwl %ax, %eax
    fragment
    str %eax                    # 43
    movzwl %ax, %eax
    fragment
    clts                        # 44
    fragment
    lmsw %di                    # 45
    fragment
    cli                         # 46
    fragment
    pushf                       # 47: RFLAGS.AC and IF
    pop %rax
    and $0x40200, %eax
    fragment
.balign 4096

.balign 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 0x08: kernel code
    .quad 0x00cf93000000ffff    # 0x10: kernel data
    .quad 0
    .quad 0x00cff3000000ffff    # 0x20: user data
    .quad 0x00affb000000ffff    # 0x28: user code
    .quad 0, 0                  # 0x30: the TSS
    .quad 0, 0                  # 0x40, 0x50: for sequences
    .quad 0, 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
idt_pointer:
    .word 0xfff
    .quad idt
.balign 16
idt:
    .fill 4096, 1, 0
tss:
    .fill 104, 1, 0
.balign 8
base_cr4:       .quad 0
own_root:       .quad 0
features:       .quad 0
amd_features:   .quad 0
step:           .quad 0
next_step:      .quad 0
steps_left:     .quad 0
result_vector:  .quad 0
result_error:   .quad 0
result_address: .quad 0
result_rax:     .quad 0
