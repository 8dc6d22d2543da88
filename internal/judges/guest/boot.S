# The first sector of the disk: reads the rest of it to 1 MiB with the ATA ports, which QEMU and Bochs both have, and jumps there
# in 32-bit protected mode. The maker of the image puts the number of sectors at the label `sectors`.
.code16
.globl _start
_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    in $0x92, %al
    or $2, %al
    out %al, $0x92
    lgdt gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $8, $protected

.code32
protected:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %esp
    mov $1, %ebx                # the sector
    mov $0x100000, %edi
next:
    mov $0x1f7, %dx
1:  in %dx, %al
    test $0x80, %al
    jnz 1b
    mov $0x1f6, %dx             # LBA, first drive
    mov %ebx, %eax
    shr $24, %eax
    or $0xe0, %al
    out %al, %dx
    mov $0x1f2, %dx             # one sector
    mov $1, %al
    out %al, %dx
    inc %dx
    mov %ebx, %eax
    out %al, %dx
    inc %dx
    shr $8, %eax
    out %al, %dx
    inc %dx
    shr $8, %eax
    out %al, %dx
    mov $0x1f7, %dx             # READ SECTORS
    mov $0x20, %al
    out %al, %dx
2:  in %dx, %al
    test $0x80, %al
    jnz 2b
    test $8, %al
    jz 2b
    mov $0x1f0, %dx
    mov $256, %ecx
    rep insw
    inc %ebx
    cmp sectors, %ebx
    jbe next
    mov $0x100000, %eax
    jmp *%eax

.align 8
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff
    .quad 0x00cf92000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long gdt

.org 0x1f8
sectors:
    .long 0
.org 0x1fe
    .word 0xaa55
