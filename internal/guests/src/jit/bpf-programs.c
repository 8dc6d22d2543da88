/*
 * Loads eBPF programs and classic filters of many kinds into a guest's kernel, and keeps them there, so that a dump holds what its JIT makes of them:
 *
 *   cc -O1 -static bpf-programs.c -o bpf-programs
 *   bpf-programs      prints a line for each program that the verifier refuses, then "ready", and stays
 *
 * No libbpf, and no compiler for eBPF: every instruction is written here.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in the kernel's own include/linux/filter.h. */
#define RAW(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV(d, s) RAW(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVK(d, i) RAW(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVK32(d, i) RAW(BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU(op, d, s) RAW(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALUK(op, d, i) RAW(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU32(op, d, s) RAW(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define ALU32K(op, d, i) RAW(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define LDX(size, d, s, o) RAW(BPF_LDX | (size) | BPF_MEM, d, s, o, 0)
#define STX(size, d, s, o) RAW(BPF_STX | (size) | BPF_MEM, d, s, o, 0)
#define ST(size, d, o, i) RAW(BPF_ST | (size) | BPF_MEM, d, 0, o, i)
#define ATOMIC(size, op, d, s, o) RAW(BPF_STX | (size) | BPF_ATOMIC, d, s, o, op)
#define JMP(op, d, s, o) RAW(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JMPK(op, d, i, o) RAW(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JMP32(op, d, s, o) RAW(BPF_JMP32 | (op) | BPF_X, d, s, o, 0)
#define JMP32K(op, d, i, o) RAW(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define JA(o) RAW(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define CALL(f) RAW(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define CALL_SUB(o) RAW(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, o)
#define EXIT RAW(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define IMM64(d, kind, lo, hi) RAW(BPF_LD | BPF_DW | BPF_IMM, d, kind, 0, lo), RAW(0, 0, 0, 0, hi)
#define MAP(d, fd) IMM64(d, BPF_PSEUDO_MAP_FD, fd, 0)
#define LDABS(size, i) RAW(BPF_LD | (size) | BPF_ABS, 0, 0, 0, i)
#define LDIND(size, s, i) RAW(BPF_LD | (size) | BPF_IND, 0, s, 0, i)
#define R0 0
#define R1 1
#define R2 2
#define R3 3
#define R4 4
#define R5 5
#define R6 6
#define R7 7
#define R8 8
#define R9 9
#define FP 10
/* Not in all headers of user space. */
#define MAP_TYPE_ARENA 33
#define TO_LE_SWAP(d, bits) RAW(BPF_ALU64 | BPF_END | BPF_TO_LE, d, 0, 0, bits)
#define LDSX(size, d, s, o) RAW(BPF_LDX | (size) | 0x80, d, s, o, 0)
#define MOVSX(d, s, bits) RAW(BPF_ALU64 | BPF_MOV | BPF_X, d, s, bits, 0)
#define MOVSX32(d, s, bits) RAW(BPF_ALU | BPF_MOV | BPF_X, d, s, bits, 0)
#define SIGNED(op, d, s) RAW(BPF_ALU64 | (op) | BPF_X, d, s, 1, 0)
#define SIGNED32(op, d, s) RAW(BPF_ALU | (op) | BPF_X, d, s, 1, 0)
#define GOTOL(o) RAW(BPF_JMP32 | BPF_JA, 0, 0, 0, o)
#define CAST(d, s, to) RAW(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 1, to)

#define MOST 8192
static struct bpf_insn code[MOST];
static unsigned count;
#define EMIT(...) emit((struct bpf_insn[]){__VA_ARGS__}, sizeof((struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn))

static void emit(const struct bpf_insn *insns, unsigned more)
{
	if (count + more > MOST)
		exit(3);
	memcpy(code + count, insns, more * sizeof(*insns));
	count += more;
}

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int map(int type, int key, int value, int entries, int flags)
{
	union bpf_attr attr = {.map_type = type, .key_size = key, .value_size = value, .max_entries = entries, .map_flags = flags};
	int fd = bpf(BPF_MAP_CREATE, &attr);

	if (fd < 0)
		printf("map of type %d: %s\n", type, strerror(errno));
	return fd;
}

/* Types for a program of two functions, the second of which begins at `second`: what the verifier wants to know of callbacks, and of tail calls in functions. */
static int two_functions(void)
{
	static const char names[] = "\0int\0first\0second";
	struct {
		struct btf_header header;
		uint32_t types[15];
		char names[sizeof(names)];
	} blob = {
		.header = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(struct btf_header), .type_len = sizeof(blob.types), .str_off = sizeof(blob.types), .str_len = sizeof(names)},
		.types = {/* int */ 1, BTF_KIND_INT << 24, 4, (BTF_INT_SIGNED << 24) | 32, /* int (int) */ 0, (BTF_KIND_FUNC_PROTO << 24) | 1, 1, 1, 1,
			/* first, second: static */ 5, BTF_KIND_FUNC << 24, 2, 11, BTF_KIND_FUNC << 24, 2},
	};
	union bpf_attr attr = {.btf = (uintptr_t)&blob, .btf_size = sizeof(blob.header) + sizeof(blob.types) + sizeof(names)};

	memcpy(blob.names, names, sizeof(names));
	return bpf(BPF_BTF_LOAD, &attr);
}

/* Offset of the second function of the next program; 0: it has one, or needs no types. */
static unsigned second;

/* What was emitted since the last one becomes a program. @returns its descriptor, or -1; `quiet`: a refusal is nothing special */
static int load_as(const char *name, int type, int attach, int quiet)
{
	static char log[1 << 24];
	struct bpf_func_info functions[] = {{0, 3}, {second, 4}};
	union bpf_attr attr = {.prog_type = type, .insns = (uintptr_t)code, .insn_cnt = count, .license = (uintptr_t)"GPL", .expected_attach_type = attach};
	int fd;

	if (type == BPF_PROG_TYPE_SYSCALL)
		attr.prog_flags = BPF_F_SLEEPABLE;
	snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
	if (second > 0) {
		attr.prog_btf_fd = two_functions();
		attr.func_info_rec_size = sizeof(*functions);
		attr.func_info = (uintptr_t)functions;
		attr.func_info_cnt = 2;
	}
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0 && !quiet) {
		size_t length;

		attr.log_buf = (uintptr_t)log;
		attr.log_size = sizeof(log);
		attr.log_level = 1;
		log[0] = 0;
		bpf(BPF_PROG_LOAD, &attr);
		length = strlen(log);
		printf("%s: %s: %s\n", name, strerror(errno), log + (length > 300 ? length - 300 : 0));
	}
	count = 0;
	second = 0;
	return fd;
}

static int load(const char *name)
{
	return load_as(name, BPF_PROG_TYPE_SOCKET_FILTER, 0, 0);
}

/* Eight registers with values that the verifier knows nothing of. */
static void unknown(void)
{
	EMIT(MOV(R6, R1), CALL(BPF_FUNC_get_prandom_u32), MOV(R7, R0), CALL(BPF_FUNC_get_prandom_u32), MOV(R8, R0));
	EMIT(MOV(R9, R7), MOV(R1, R8), MOV(R2, R7), MOV(R3, R8), MOV(R4, R7), MOV(R5, R8));
}

static void arithmetic(void)
{
	static const int ops[] = {BPF_ADD, BPF_SUB, BPF_OR, BPF_AND, BPF_XOR, BPF_MUL, BPF_DIV, BPF_MOD, BPF_MOV};
	static const int pairs[][2] = {{R0, R1}, {R1, R0}, {R3, R2}, {R2, R3}, {R4, R0}, {R0, R4}, {R5, R9}, {R9, R5}, {R7, R7}, {R3, R3}};
	static const int constants[] = {1, -1, 7, 127, 128, -128, -129, 0x12345678, -0x12345678, 0x7fffffff};

	for (int wide = 0; wide < 2; wide++) {
		unknown();
		for (unsigned op = 0; op < sizeof(ops) / sizeof(*ops); op++)
			for (unsigned pair = 0; pair < sizeof(pairs) / sizeof(*pairs); pair++) {
				int d = pairs[pair][0], s = pairs[pair][1];
				EMIT(wide ? ALU(ops[op], d, s) : ALU32(ops[op], d, s));
			}
		EMIT(EXIT);
		load(wide ? "alu64" : "alu32");
		unknown();
		for (unsigned op = 0; op < sizeof(ops) / sizeof(*ops); op++)
			for (unsigned at = 0; at < sizeof(constants) / sizeof(*constants); at++) {
				int d = pairs[at % 10][0];
				EMIT(wide ? ALUK(ops[op], d, constants[at]) : ALU32K(ops[op], d, constants[at]));
			}
		EMIT(EXIT);
		load(wide ? "alu64_const" : "alu32_const");
		unknown();
		for (int d = R0; d <= R9; d++)
			if (d != R6)
				EMIT(wide ? RAW(BPF_ALU64 | BPF_NEG, d, 0, 0, 0) : RAW(BPF_ALU | BPF_NEG, d, 0, 0, 0), wide ? MOVK(d, 0) : MOVK32(d, 0));
		EMIT(EXIT);
		load(wide ? "neg64" : "neg32");
	}
}

static void shifts(void)
{
	static const int ops[] = {BPF_LSH, BPF_RSH, BPF_ARSH};

	for (int wide = 0; wide < 2; wide++) {
		unknown();
		for (int op = 0; op < 3; op++)
			for (int d = R0; d <= R9; d++)
				for (int s = R0; s <= R9; s += 3)
					if (d != R6 && s != R6)
						EMIT(wide ? ALU(ops[op], d, s) : ALU32(ops[op], d, s));
		EMIT(EXIT);
		load(wide ? "shift64" : "shift32");
		unknown();
		for (int op = 0; op < 3; op++)
			for (int d = R0; d <= R9; d++)
				if (d != R6)
					EMIT(wide ? ALUK(ops[op], d, 1) : ALU32K(ops[op], d, 1), wide ? ALUK(ops[op], d, 5 + d) : ALU32K(ops[op], d, 5 + d));
		EMIT(EXIT);
		load(wide ? "shift64_const" : "shift32_const");
	}
}

static void byte_orders(void)
{
	unknown();
	for (int d = R0; d <= R9; d++)
		if (d != R6)
			for (int bits = 16; bits <= 64; bits *= 2)
				EMIT(RAW(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, bits), RAW(BPF_ALU | BPF_END | BPF_TO_LE, d, 0, 0, bits));
	EMIT(EXIT);
	load("endian");
}

static void memory(void)
{
	static const int sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

	unknown();
	for (int size = 0; size < 4; size++)
		for (int s = R0; s <= R9; s++)
			if (s != R6)
				EMIT(STX(sizes[size], FP, s, -8 * (s + 1)), STX(sizes[size], FP, s, -512 + 8 * s), LDX(sizes[size], s, FP, -8 * (s + 1)));
	EMIT(EXIT);
	load("stack");
	unknown();
	for (int size = 0; size < 4; size++)
		EMIT(ST(sizes[size], FP, -8, 0), ST(sizes[size], FP, -16, 1), ST(sizes[size], FP, -256, 0x1234567), ST(sizes[size], FP, -24, -1));
	EMIT(LDX(BPF_DW, R0, FP, -8), EXIT);
	load("stack_const");
	/* Fields of the socket buffer: each becomes a load of the kernel's structure. */
	EMIT(MOV(R6, R1), MOVK(R0, 0));
	for (unsigned at = 0; at < offsetof(struct __sk_buff, napi_id); at += 4)
		if (at != offsetof(struct __sk_buff, tc_classid) && at != offsetof(struct __sk_buff, data) && at != offsetof(struct __sk_buff, data_end))
			EMIT(LDX(BPF_W, R1, R6, at), ALU(BPF_ADD, R0, R1));
	EMIT(EXIT);
	load("sk_buff");
	EMIT(MOV(R6, R1), LDABS(BPF_B, 9), MOV(R7, R0), LDABS(BPF_H, 12), ALU(BPF_ADD, R7, R0), LDABS(BPF_W, 26), ALU(BPF_AND, R7, R0),
		MOV(R8, R7), ALUK(BPF_AND, R8, 15), LDIND(BPF_B, R8, 14), LDIND(BPF_H, R8, 16), LDIND(BPF_W, R8, 18), LDABS(BPF_W, 0x1234), EXIT);
	load("packet");
}

static void jumps(void)
{
	static const int ops[] = {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
	static const int constants[] = {0, 1, -1, 127, 128, 0x12345678};

	unknown();
	for (int op = 0; op < 11; op++) {
		EMIT(JMP(ops[op], R7, R8, 1), ALUK(BPF_ADD, R9, 1), JMP32(ops[op], R7, R8, 1), ALU(BPF_ADD, R9, R7));
		EMIT(JMP(ops[op], R0, R4, 1), MOV(R0, R4), JMP32(ops[op], R2, R1, 1), MOV(R2, R5));
		for (int at = 0; at < 6; at++)
			EMIT(JMPK(ops[op], R7, constants[at], 1), MOV(R9, R8), JMP32K(ops[op], R8, constants[at], 1), MOV(R9, R7));
	}
	EMIT(MOV(R0, R9), EXIT);
	load("jumps");
	for (int far = 30; far <= 3000; far *= 10) {
		unknown();
		EMIT(JMPK(BPF_JEQ, R7, 5, far + 1), JMP32(BPF_JGT, R7, R8, far));
		for (int at = 0; at < far - 1; at++)
			EMIT(at % 3 == 0 ? ALU(BPF_ADD, R0, R7) : at % 3 == 1 ? ALU32(BPF_XOR, R0, R8) : STX(BPF_DW, FP, R0, -8 - 8 * (at % 60)));
		EMIT(JA(1), MOVK(R0, 1), ALU(BPF_ADD, R0, R7), EXIT);
		load(far == 30 ? "near_jump" : far == 300 ? "far_jump" : "long_jump");
	}
	unknown();
	EMIT(MOVK(R6, 0), MOVK(R0, 0), ALU(BPF_ADD, R0, R6), ALUK(BPF_ADD, R6, 1), JMPK(BPF_JLT, R6, 100, -3), EXIT);
	load("loop");
	EMIT(IMM64(R0, 0, 0x12345678, 0x9abcdef0), IMM64(R1, 0, 1, 0), IMM64(R2, 0, -1, -1), IMM64(R3, 0, -5, 0), IMM64(R4, 0, 0, 0), ALU(BPF_ADD, R0, R1),
		ALU(BPF_ADD, R0, R2), ALU(BPF_ADD, R0, R3), ALU(BPF_ADD, R0, R4), EXIT);
	load("imm64");
}

/* R0: the value of key R7 of the map, or the program ends. */
static void lookup(int fd)
{
	EMIT(STX(BPF_W, FP, R7, -4), MOV(R2, FP), ALUK(BPF_ADD, R2, -4), MAP(R1, fd), CALL(BPF_FUNC_map_lookup_elem), JMPK(BPF_JNE, R0, 0, 1), EXIT);
}

static void maps_and_atomics(void)
{
	static const struct { int type; const char *name; } types[] = {{BPF_MAP_TYPE_HASH, "hash"}, {BPF_MAP_TYPE_ARRAY, "array"},
		{BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array"}, {BPF_MAP_TYPE_PERCPU_HASH, "percpu_hash"}, {BPF_MAP_TYPE_LRU_HASH, "lru_hash"}};
	static const int ops[] = {BPF_ADD, BPF_OR, BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_XOR | BPF_FETCH, BPF_XCHG, BPF_CMPXCHG};

	for (unsigned at = 0; at < sizeof(types) / sizeof(*types); at++) {
		int fd = map(types[at].type, 4, 256, 12, 0);

		EMIT(MOV(R6, R1), CALL(BPF_FUNC_get_prandom_u32), MOV(R7, R0));
		lookup(fd);
		EMIT(LDX(BPF_DW, R8, R0, 200), ALUK(BPF_ADD, R8, 1), STX(BPF_DW, R0, R8, 200));
		EMIT(STX(BPF_W, FP, R7, -4), MOV(R2, FP), ALUK(BPF_ADD, R2, -4), MOV(R3, R0), MOVK(R4, 0), MAP(R1, fd), CALL(BPF_FUNC_map_update_elem));
		EMIT(MOV(R2, FP), ALUK(BPF_ADD, R2, -4), MAP(R1, fd), CALL(BPF_FUNC_map_delete_elem), MOVK(R0, 0), EXIT);
		load(types[at].name);
	}
	EMIT(MOV(R6, R1), MOVK(R7, 1));
	lookup(map(BPF_MAP_TYPE_ARRAY, 4, 256, 12, 0));
	EMIT(MOV(R6, R0));
	for (unsigned op = 0; op < sizeof(ops) / sizeof(*ops); op++)
		for (int wide = 0; wide < 2; wide++) {
			int size = wide ? BPF_DW : BPF_W;
			EMIT(MOVK(R7, 3), MOVK(R0, 1), MOVK(R1, 9), ATOMIC(size, ops[op], R6, R7, 16), ATOMIC(size, ops[op], R6, R1, 160));
			EMIT(STX(BPF_DW, FP, R7, -8), MOVK(R8, 2), ATOMIC(size, ops[op], FP, R8, -8));
		}
	EMIT(MOVK(R0, 0), EXIT);
	load("atomics");
	{
		int ring = map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);

		EMIT(MAP(R1, ring), MOVK(R2, 16), MOVK(R3, 0), CALL(BPF_FUNC_ringbuf_reserve), JMPK(BPF_JNE, R0, 0, 1), EXIT, MOV(R6, R0),
			CALL(BPF_FUNC_ktime_get_ns), STX(BPF_DW, R6, R0, 0), MOV(R1, R6), MOVK(R2, 0), CALL(BPF_FUNC_ringbuf_submit), MOVK(R0, 0), EXIT);
		load("ringbuf");
	}
}

static void calls(void)
{
	int programs = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0);
	int target, key = 1;

	EMIT(MOV(R6, R1), MOVK(R1, 5), MOVK(R2, 6), CALL_SUB(2), ALU(BPF_ADD, R0, R0), EXIT);
	EMIT(MOV(R7, R1), ALU(BPF_ADD, R7, R2), STX(BPF_DW, FP, R7, -16), MOV(R1, R7), CALL_SUB(2), ALU(BPF_ADD, R0, R7), EXIT);
	EMIT(MOV(R0, R1), ALU(BPF_MUL, R0, R0), EXIT);
	load("bpf_to_bpf");
	EMIT(MOVK(R0, 7), EXIT);
	target = load("tail_target");
	if (target >= 0) {
		union bpf_attr attr = {.map_fd = programs, .key = (uintptr_t)&key, .value = (uintptr_t)&target};
		bpf(BPF_MAP_UPDATE_ELEM, &attr);
	}
	EMIT(MAP(R2, programs), MOVK(R3, 1), CALL(BPF_FUNC_tail_call), MOVK(R0, 0), EXIT);
	load("tail_call");
	EMIT(MAP(R2, programs), MOVK(R3, 2), CALL(BPF_FUNC_tail_call), MOVK(R0, 0), EXIT);
	load("tail_call_none");
	EMIT(MOV(R6, R1), CALL(BPF_FUNC_get_prandom_u32), MOV(R3, R0), MOV(R1, R6), MAP(R2, programs), CALL(BPF_FUNC_tail_call), MOVK(R0, 0), EXIT);
	load("tail_call_any");
	EMIT(MOV(R6, R1), CALL_SUB(2), MOVK(R0, 0), EXIT, MAP(R2, programs), MOVK(R3, 1), CALL(BPF_FUNC_tail_call), MOVK(R0, 0), EXIT);
	second = 4;
	load("tail_in_sub");
	/* bpf_loop: the address of a function is a constant. */
	EMIT(MOVK(R1, 10), RAW(BPF_LD | BPF_DW | BPF_IMM, R2, BPF_PSEUDO_FUNC, 0, 5), RAW(0, 0, 0, 0, 0), MOVK(R3, 0), MOVK(R4, 0), CALL(BPF_FUNC_loop), EXIT,
		MOVK(R0, 0), EXIT);
	second = 7;
	load("callback");
}

/* Loads from pointers that may be wrong (PROBE_MEM): whichever fields of the current task the verifier takes for numbers and pointers. */
static void probes(void)
{
	int offsets[64], found = 0;

	for (int at = 0; at < 4096 && found < 64; at += 8) {
		EMIT(CALL(BPF_FUNC_get_current_task_btf), LDX(BPF_DW, R1, R0, at), LDX(BPF_DW, R2, R1, 0), MOVK(R0, 0), EXIT);
		int fd = load_as("try", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 1);
		if (fd < 0)
			continue;
		close(fd);
		offsets[found++] = at;
	}
	EMIT(CALL(BPF_FUNC_get_current_task_btf), MOV(R6, R0), MOVK(R7, 0));
	for (int at = 0; at < found; at++)
		EMIT(LDX(BPF_DW, R1, R6, offsets[at]), LDX(BPF_DW, R2, R1, 0));
	EMIT(MOV(R0, R7), EXIT);
	load_as("probe_mem", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
	/* A second pointer far into the structure that a first one leads to. */
	for (int base = 0, made = 0; base < found && made < 4; base++)
		for (int at = 136; at < 4096; at += 8) {
			EMIT(CALL(BPF_FUNC_get_current_task_btf), LDX(BPF_DW, R1, R0, offsets[base]), LDX(BPF_DW, R1, R1, at), LDX(BPF_W, R2, R1, 0), MOVK(R0, 0), EXIT);
			if (load_as("probe_far", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 1) >= 0) {
				made++;
				break;
			}
		}
}

/* What Linux 6.6 and later know beside; 6.1's verifier refuses it. */
static void newer(void)
{
	unknown();
	for (int d = R0; d <= R9; d++)
		if (d != R6)
			EMIT(TO_LE_SWAP(d, 16), TO_LE_SWAP(d, 32), TO_LE_SWAP(d, 64), MOVSX(d, R7, 8), MOVSX(d, R8, 16), MOVSX(d, R7, 32), MOVSX32(d, R8, 8), MOVSX32(d, R7, 16));
	EMIT(SIGNED(BPF_DIV, R0, R7), SIGNED(BPF_MOD, R1, R8), SIGNED32(BPF_DIV, R3, R7), SIGNED32(BPF_MOD, R4, R0), GOTOL(0), EXIT);
	load("signed");
	unknown();
	EMIT(STX(BPF_DW, FP, R7, -8), LDSX(BPF_B, R1, FP, -8), LDSX(BPF_H, R2, FP, -8), LDSX(BPF_W, R0, FP, -8), LDSX(BPF_W, R9, FP, -4), EXIT);
	load("signed_load");
	{
		int arena = map(MAP_TYPE_ARENA, 0, 0, 4, 1 << 10);

		if (arena < 0)
			return;
		mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
		EMIT(MAP(R1, arena), MOVK(R7, 4096), CAST(R7, R7, 1), STX(BPF_DW, R7, R7, 16), LDX(BPF_DW, R1, R7, 8), LDX(BPF_B, R2, R7, 300), ST(BPF_W, R7, 0, 5),
			MOVK(R0, 0), EXIT);
		load_as("arena", BPF_PROG_TYPE_SYSCALL, 0, 0);
	}
}

/* Programs as the tools of systems have them: devices and addresses of a cgroup, packets in place, tracing. */
static void of_systems(void)
{
	/* As systemd's DeviceAllow= makes them. */
	EMIT(LDX(BPF_W, R2, R1, 0), ALU32K(BPF_AND, R2, 0xffff), LDX(BPF_W, R3, R1, 0), ALU32K(BPF_RSH, R3, 16), LDX(BPF_W, R4, R1, 4), LDX(BPF_W, R5, R1, 8));
	for (int minor = 3; minor < 10; minor++)
		EMIT(JMPK(BPF_JNE, R2, 2, 5), MOV(R1, R3), ALU32K(BPF_AND, R1, 6), JMPK(BPF_JEQ, R4, 1, 0), JMPK(BPF_JNE, R5, minor, 1), JA(1), JA(2), MOVK(R0, 1), EXIT);
	EMIT(MOVK(R0, 0), EXIT);
	load_as("device", BPF_PROG_TYPE_CGROUP_DEVICE, 0, 0);
	EMIT(MOV(R6, R1), LDX(BPF_W, R7, R6, 4), LDX(BPF_W, R8, R6, 24), JMPK(BPF_JNE, R7, 0x0100007f, 2), MOVK(R0, 0), EXIT, MOVK(R2, 0x0200007f),
		STX(BPF_W, R6, R2, 4), MOVK(R0, 1), EXIT);
	load_as("connect4", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, 0);
	for (int xdp = 0; xdp < 2; xdp++) {
		int data = xdp ? offsetof(struct xdp_md, data) : offsetof(struct __sk_buff, data);
		int end = xdp ? offsetof(struct xdp_md, data_end) : offsetof(struct __sk_buff, data_end);

		EMIT(LDX(BPF_W, R2, R1, data), LDX(BPF_W, R3, R1, end), MOV(R4, R2), ALUK(BPF_ADD, R4, 34), JMP(BPF_JGT, R4, R3, 7), LDX(BPF_H, R5, R2, 12),
			JMPK(BPF_JNE, R5, 8, 5), LDX(BPF_B, R5, R2, 23), JMPK(BPF_JNE, R5, 6, 3), LDX(BPF_W, R5, R2, 26), JMP32K(BPF_JNE, R5, 0x0a00020f, 1),
			JA(2), MOVK(R0, 2), EXIT, MOVK(R0, 1), EXIT);
		load_as(xdp ? "xdp" : "sched_cls", xdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS, 0, 0);
	}
	EMIT(MOV(R6, R1), CALL(BPF_FUNC_get_current_pid_tgid), STX(BPF_DW, FP, R0, -8), CALL(BPF_FUNC_get_smp_processor_id), MOV(R7, R0), MOV(R1, FP), ALUK(BPF_ADD, R1, -24),
		MOVK(R2, 16), CALL(BPF_FUNC_get_current_comm), LDX(BPF_DW, R3, R6, 112), MOV(R1, FP), ALUK(BPF_ADD, R1, -40), MOVK(R2, 8), CALL(BPF_FUNC_probe_read_kernel),
		MOVK(R0, 0), EXIT);
	load_as("kprobe", BPF_PROG_TYPE_KPROBE, 0, 0);
}

#define STMT(c, k) ((struct sock_filter)BPF_STMT(c, k))
#define JUMP(c, k, t, f) ((struct sock_filter)BPF_JUMP(c, k, t, f))

/* Classic filters: `tcp port 80` as libpcap makes it, every kind of instruction, and a list of system calls. */
static void classic(void)
{
	struct sock_filter port[] = {
		STMT(BPF_LD | BPF_H | BPF_ABS, 12), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x86dd, 0, 6), STMT(BPF_LD | BPF_B | BPF_ABS, 20),
		JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 15), STMT(BPF_LD | BPF_H | BPF_ABS, 54), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 80, 12, 0),
		STMT(BPF_LD | BPF_H | BPF_ABS, 56), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 80, 10, 11), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x800, 0, 10),
		STMT(BPF_LD | BPF_B | BPF_ABS, 23), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 8), STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 6, 0), STMT(BPF_LDX | BPF_B | BPF_MSH, 14), STMT(BPF_LD | BPF_H | BPF_IND, 14),
		JUMP(BPF_JMP | BPF_JEQ | BPF_K, 80, 2, 0), STMT(BPF_LD | BPF_H | BPF_IND, 16), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 80, 0, 1),
		STMT(BPF_RET | BPF_K, 262144), STMT(BPF_RET | BPF_K, 0)};
	struct sock_filter all[] = {
		STMT(BPF_LD | BPF_W | BPF_LEN, 0), STMT(BPF_MISC | BPF_TAX, 0), STMT(BPF_LD | BPF_IMM, 0x12345678), STMT(BPF_ST, 3), STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		STMT(BPF_ALU | BPF_SUB | BPF_K, 1000), STMT(BPF_ALU | BPF_MUL | BPF_X, 0), STMT(BPF_ALU | BPF_DIV | BPF_K, 10), STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
		STMT(BPF_ALU | BPF_MOD | BPF_K, 77), STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff00), STMT(BPF_ALU | BPF_OR | BPF_X, 0), STMT(BPF_ALU | BPF_XOR | BPF_K, 0x55555555),
		STMT(BPF_ALU | BPF_LSH | BPF_X, 0), STMT(BPF_ALU | BPF_RSH | BPF_K, 3), STMT(BPF_ALU | BPF_NEG, 0), STMT(BPF_LDX | BPF_MEM, 3), STMT(BPF_STX, 5),
		STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PROTOCOL), STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_IFINDEX),
		STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_CPU), STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM),
		STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PAY_OFFSET), STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_VLAN_TAG),
		STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK), STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
		STMT(BPF_LD | BPF_W | BPF_ABS, SKF_NET_OFF + 9), STMT(BPF_LD | BPF_MEM, 5), JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 1, 0),
		JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x10000, 0, 1), STMT(BPF_MISC | BPF_TXA, 0), STMT(BPF_RET | BPF_A, 0)};
	struct sock_fprog programs[] = {{sizeof(port) / sizeof(*port), port}, {sizeof(all) / sizeof(*all), all}};

	for (int at = 0; at < 2; at++)
		if (setsockopt(socket(AF_UNIX, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_FILTER, &programs[at], sizeof(*programs)) != 0)
			printf("classic filter %d: %s\n", at, strerror(errno));
}

static void seccomp(void)
{
	struct sock_filter calls[70] = {STMT(BPF_LD | BPF_W | BPF_ABS, 4), JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xc000003e, 1, 0), STMT(BPF_RET | BPF_K, 0x80000000),
		STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
	struct sock_fprog program = {70, calls};

	for (int at = 4; at < 68; at++)
		calls[at] = JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(at * 5 + 150), 68 - at, 0);
	calls[68] = STMT(BPF_RET | BPF_K, 0x7fff0000);
	calls[69] = STMT(BPF_RET | BPF_K, 0x00050001);
	/* What is listed is refused with EPERM, all else allowed. */
	calls[68].k = 0x7fff0000;
	for (int at = 4; at < 68; at++)
		calls[at].jt = 69 - at - 1;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		printf("seccomp: %s\n", strerror(errno));
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	arithmetic();
	shifts();
	byte_orders();
	memory();
	jumps();
	maps_and_atomics();
	calls();
	probes();
	newer();
	of_systems();
	/* By whom bpf_jit_harden = 1 does not trust. */
	if (setuid(1000) != 0)
		printf("setuid: %s\n", strerror(errno));
	classic();
	seccomp();
	printf("ready\n");
	for (;;)
		pause();
}
