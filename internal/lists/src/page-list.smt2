; What a page list of up to two entries (Heki v2 11/19) must be answered, and how the readers compute it.
;
; What must hold is said in vectors of 72 bits: no sum or product of what a list holds reaches 2^72, so that nothing wraps and they
; are integers. What the code computes is said as it computes it: in doubles, in words of 32 bits, modulo 2^64.

(define-sort U32 () (_ BitVec 32))
(define-sort U64 () (_ BitVec 64))
(define-sort Wide () (_ BitVec 72))
; What is answered: 0 where nothing is wrong.
(define-sort Answer () (_ BitVec 16))
(define-fun wide ((x U64)) Wide ((_ zero_extend 8) x))
(define-fun two-to-52 () Wide (bvshl (_ bv1 72) (_ bv52 72)))
(define-fun aligned ((x U64)) Bool (= ((_ extract 11 0) x) (_ bv0 12)))
(define-fun high ((x U64)) U32 ((_ extract 63 32) x))
(define-fun low ((x U64)) U32 ((_ extract 31 0) x))

; ---- One entry: 0, or the byte of the entry at which the first wrong field begins, plus 1.

(define-fun entry-fault ((pa U64) (epa U64) (permissions U64)) Answer
  (ite (or (not (aligned pa)) (bvuge (wide pa) two-to-52)) (_ bv1 16)
  (ite (or (not (aligned epa)) (bvugt (wide epa) two-to-52) (bvule (wide epa) (wide pa))) (_ bv9 16)
  (ite (or (= permissions (_ bv0 64)) (bvugt permissions (_ bv15 64))) (_ bv17 16)
  (_ bv0 16)))))

; A double that two words make: high * 2^32, which is exact, plus low, rounded to 53 bits, to even (IEEE 754-2019, 4.3.1).
; A number below 2^64 has at most 11 bits too many. Half of the last place that stays is added, less one where that place is even, and
; they are cleared.
(define-fun round-11 ((x Wide)) Wide
  (bvand #xfffffffffffffff800 (bvadd x (_ bv1023 72) ((_ zero_extend 71) ((_ extract 11 11) x)))))
(define-fun round-10 ((x Wide)) Wide
  (bvand #xfffffffffffffffc00 (bvadd x (_ bv511 72) ((_ zero_extend 71) ((_ extract 10 10) x)))))
(define-fun round-9 ((x Wide)) Wide
  (bvand #xfffffffffffffffe00 (bvadd x (_ bv255 72) ((_ zero_extend 71) ((_ extract 9 9) x)))))
(define-fun round-8 ((x Wide)) Wide
  (bvand #xffffffffffffffff00 (bvadd x (_ bv127 72) ((_ zero_extend 71) ((_ extract 8 8) x)))))
(define-fun round-7 ((x Wide)) Wide
  (bvand #xffffffffffffffff80 (bvadd x (_ bv63 72) ((_ zero_extend 71) ((_ extract 7 7) x)))))
(define-fun round-6 ((x Wide)) Wide
  (bvand #xffffffffffffffffc0 (bvadd x (_ bv31 72) ((_ zero_extend 71) ((_ extract 6 6) x)))))
(define-fun round-5 ((x Wide)) Wide
  (bvand #xffffffffffffffffe0 (bvadd x (_ bv15 72) ((_ zero_extend 71) ((_ extract 5 5) x)))))
(define-fun round-4 ((x Wide)) Wide
  (bvand #xfffffffffffffffff0 (bvadd x (_ bv7 72) ((_ zero_extend 71) ((_ extract 4 4) x)))))
(define-fun round-3 ((x Wide)) Wide
  (bvand #xfffffffffffffffff8 (bvadd x (_ bv3 72) ((_ zero_extend 71) ((_ extract 3 3) x)))))
(define-fun round-2 ((x Wide)) Wide
  (bvand #xfffffffffffffffffc (bvadd x (_ bv1 72) ((_ zero_extend 71) ((_ extract 2 2) x)))))
(define-fun round-1 ((x Wide)) Wide
  (bvand #xfffffffffffffffffe (bvadd x (_ bv0 72) ((_ zero_extend 71) ((_ extract 1 1) x)))))
(define-fun double ((x U64)) Wide
  (ite (= ((_ extract 63 63) x) #b1) (round-11 (wide x))
  (ite (= ((_ extract 62 62) x) #b1) (round-10 (wide x))
  (ite (= ((_ extract 61 61) x) #b1) (round-9 (wide x))
  (ite (= ((_ extract 60 60) x) #b1) (round-8 (wide x))
  (ite (= ((_ extract 59 59) x) #b1) (round-7 (wide x))
  (ite (= ((_ extract 58 58) x) #b1) (round-6 (wide x))
  (ite (= ((_ extract 57 57) x) #b1) (round-5 (wide x))
  (ite (= ((_ extract 56 56) x) #b1) (round-4 (wide x))
  (ite (= ((_ extract 55 55) x) #b1) (round-3 (wide x))
  (ite (= ((_ extract 54 54) x) #b1) (round-2 (wide x))
  (ite (= ((_ extract 53 53) x) #b1) (round-1 (wide x))
  (wide x)))))))))))))
(define-fun double-aligned ((x Wide)) Bool (= ((_ extract 11 0) x) (_ bv0 12)))

; decodePageList(), packages/hypercall/src/kvm/page-list.ts.
(define-fun decoder-fault ((pa U64) (epa U64) (permissions U64)) Answer
  (let ((p (double pa)) (e (double epa)) (r (double permissions)))
  (ite (or (not (double-aligned p)) (bvuge p two-to-52)) (_ bv1 16)
  (ite (or (not (double-aligned e)) (bvugt e two-to-52) (bvule e p)) (_ bv9 16)
  (ite (or (= r (_ bv0 72)) (bvugt r (_ bv15 72))) (_ bv17 16)
  (_ bv0 16))))))

; rangesOf() and faultOf(), packages/kvm/src/hypercall/read-page-list.ts and attributes/check-range.ts. A frame is
; high * 2^20 + (low >>> 12), in a double; permissions are low, and 2^32 more when high is not 0.
(define-fun kvm-frame ((x U64)) Wide
  (bvadd (bvmul ((_ zero_extend 40) (high x)) (_ bv1048576 72)) ((_ zero_extend 40) (bvlshr (low x) (_ bv12 32)))))
(define-fun kvm-offset ((x U64)) U32 (bvand (low x) #x00000fff))
(define-fun kvm-permissions ((x U64)) Wide
  (bvadd ((_ zero_extend 40) (low x)) (ite (= (high x) (_ bv0 32)) (_ bv0 72) (bvshl (_ bv1 72) (_ bv32 72)))))
(define-fun frame-end () Wide (bvshl (_ bv1 72) (_ bv40 72)))

; ---- The memory of the guest: the list's pages, at 0x1000 and 0x2000, and 256 pages of zeroes below 2^46, where memory may end at most.

(define-fun page-a () U64 #x0000000000001000)
(define-fun page-b () U64 #x0000000000002000)
(define-fun zeroes-start () U64 #x00003ffffff00000)
(define-fun memory-end () U64 #x0000400000000000)
(define-fun is-zeroes ((x U64)) Bool (and (bvuge x zeroes-start) (bvult x memory-end)))
(define-fun is-address ((x U64)) Bool (and (aligned x) (bvult (wide x) two-to-52)))
(define-fun is-page ((x U64)) Bool (and (is-address x) (or (= x page-a) (= x page-b) (is-zeroes x))))
; Whether a range has memory, and ends where memory does at most: holes are allowed, as direct maps have them.
(define-fun has-memory ((pa U64) (epa U64)) Bool
  (and (bvule epa memory-end) (or (and (bvult pa #x0000000000003000) (bvugt epa page-a)) (bvugt epa zeroes-start))))

; KVM's answer for one entry that nothing stands against: 0 or -EINVAL.
(define-fun kvm-entry ((pa U64) (epa U64) (permissions U64)) Answer
  (ite (and (= (entry-fault pa epa permissions) (_ bv0 16)) (= ((_ extract 0 0) permissions) #b1) (has-memory pa epa)) (_ bv0 16) (bvneg (_ bv22 16))))
; The same as the code computes it. Memory ends with frame 2^34 - 1, and the zeroes begin 256 before.
(define-fun kvm-entry-code ((pa U64) (epa U64) (permissions U64)) Answer
  (let ((start (kvm-frame pa)) (end (kvm-frame epa)) (r (kvm-permissions permissions)))
  (ite (or (distinct (kvm-offset pa) (_ bv0 32)) (distinct (kvm-offset epa) (_ bv0 32))
           (= r (_ bv0 72)) (bvugt r (_ bv15 72)) (= ((_ extract 0 0) r) #b0)
           (bvule end start) (bvugt end (_ bv17179869184 72))
           (not (or (and (bvult start (_ bv3 72)) (bvugt end (_ bv1 72)))
                    (and (bvult start (_ bv17179869184 72)) (bvugt end (_ bv17179868928 72))))))
       (bvneg (_ bv22 16)) (_ bv0 16))))

; ---- A list: where it begins, two pages with their headers, entries a0 and a1 in the first, b0 in the second.

(declare-const list U64)
(declare-const next-a U64) (declare-const count-a U64)
(declare-const next-b U64) (declare-const count-b U64)
(declare-const a0-pa U64) (declare-const a0-epa U64) (declare-const a0-permissions U64)
(declare-const a1-pa U64) (declare-const a1-epa U64) (declare-const a1-permissions U64)
(declare-const b0-pa U64) (declare-const b0-epa U64) (declare-const b0-permissions U64)
(define-fun most () U64 (_ bv169 64))
; Up to two entries in all, or a count that no page has. The two pages are alike, so that a list does not begin with the second.
(define-fun is-list () Bool (and
  (or (bvule count-a (_ bv2 64)) (bvugt count-a most))
  (or (bvule count-b (_ bv1 64)) (bvugt count-b most))
  (=> (= count-a (_ bv2 64)) (distinct count-b (_ bv1 64)))
  (distinct list page-b)))

(define-fun reads-a () Bool (= list page-a))
(define-fun reads-b () Bool (and reads-a (= next-a page-b)))
(define-fun uses-a0 () Bool (and reads-a (bvuge count-a (_ bv1 64)) (bvule count-a (_ bv2 64))))
(define-fun uses-a1 () Bool (and reads-a (= count-a (_ bv2 64))))
(define-fun uses-b0 () Bool (and reads-b (bvule count-a (_ bv2 64)) (= count-b (_ bv1 64))))
(define-fun fault-a0 () Answer (ite uses-a0 (entry-fault a0-pa a0-epa a0-permissions) (_ bv0 16)))
(define-fun fault-a1 () Answer (ite uses-a1 (entry-fault a1-pa a1-epa a1-permissions) (_ bv0 16)))
(define-fun fault-b0 () Answer (ite uses-b0 (entry-fault b0-pa b0-epa b0-permissions) (_ bv0 16)))

; decodePageList()'s answer: 0; 1 bad-page-address, 2 page-absent or 3 cycle, of the list, and 10 or 20 more for what the first or second
; page says comes next; 1000 or 2000 and the byte of the first or second page that is wrong.
(define-fun address-fault ((x U64)) Answer (ite (not (is-address x)) (_ bv1 16) (ite (not (is-page x)) (_ bv2 16) (_ bv0 16))))
(define-fun after-b () Answer
  (ite (bvugt count-b most) (_ bv2016 16)
  (ite (distinct fault-b0 (_ bv0 16)) (bvadd (_ bv2023 16) fault-b0)
  (ite (= next-b (_ bv0 64)) (_ bv0 16)
  (ite (distinct (address-fault next-b) (_ bv0 16)) (bvadd (_ bv20 16) (address-fault next-b))
  (ite (is-zeroes next-b) (_ bv0 16) (_ bv23 16)))))))
(define-fun after-a () Answer
  (ite (bvugt count-a most) (_ bv1016 16)
  (ite (distinct fault-a0 (_ bv0 16)) (bvadd (_ bv1023 16) fault-a0)
  (ite (distinct fault-a1 (_ bv0 16)) (bvadd (_ bv1047 16) fault-a1)
  (ite (= next-a (_ bv0 64)) (_ bv0 16)
  (ite (distinct (address-fault next-a) (_ bv0 16)) (bvadd (_ bv10 16) (address-fault next-a))
  (ite (is-zeroes next-a) (_ bv0 16)
  (ite (= next-a page-a) (_ bv13 16) after-b))))))))
(define-fun decoder-says () Answer
  (ite (= list (_ bv0 64)) (_ bv0 16)
  (ite (distinct (address-fault list) (_ bv0 16)) (address-fault list)
  (ite (is-zeroes list) (_ bv0 16) after-a))))

; KVM's answer, hardened: the whole list is read first, newest page first; then its entries are looked at, oldest page first, each
; against those before it that are immutable.
(define-fun kvm-read-b () Answer
  (ite (bvugt count-b most) (bvneg (_ bv22 16))
  (ite (= next-b (_ bv0 64)) (_ bv0 16)
  (ite (or (not (aligned next-b)) (= next-b page-a) (= next-b page-b)) (bvneg (_ bv22 16))
  (ite (not (is-page next-b)) (bvneg (_ bv14 16)) (_ bv0 16))))))
(define-fun kvm-read-a () Answer
  (ite (bvugt count-a most) (bvneg (_ bv22 16))
  (ite (= next-a (_ bv0 64)) (_ bv0 16)
  (ite (or (not (aligned next-a)) (= next-a page-a)) (bvneg (_ bv22 16))
  (ite (not (is-page next-a)) (bvneg (_ bv14 16))
  (ite (is-zeroes next-a) (_ bv0 16) kvm-read-b))))))
(define-fun kvm-read () Answer
  (ite (= list (_ bv0 64)) (_ bv0 16)
  (ite (not (aligned list)) (bvneg (_ bv22 16))
  (ite (not (is-page list)) (bvneg (_ bv14 16))
  (ite (is-zeroes list) (_ bv0 16) kvm-read-a)))))
(define-fun immutable ((permissions U64)) Bool (= ((_ extract 3 3) permissions) #b1))
(define-fun overlap ((pa U64) (epa U64) (qa U64) (eqa U64)) Bool
  (and (bvult (wide pa) (wide eqa)) (bvult (wide qa) (wide epa))))
(define-fun kvm-b0 () Answer (ite uses-b0 (kvm-entry b0-pa b0-epa b0-permissions) (_ bv0 16)))
(define-fun kvm-a0 () Answer
  (ite (not uses-a0) (_ bv0 16)
  (ite (distinct (kvm-entry a0-pa a0-epa a0-permissions) (_ bv0 16)) (bvneg (_ bv22 16))
  (ite (and uses-b0 (immutable b0-permissions) (overlap b0-pa b0-epa a0-pa a0-epa)) (bvneg (_ bv1 16)) (_ bv0 16)))))
(define-fun kvm-a1 () Answer
  (ite (not uses-a1) (_ bv0 16)
  (ite (distinct (kvm-entry a1-pa a1-epa a1-permissions) (_ bv0 16)) (bvneg (_ bv22 16))
  (ite (and (immutable a0-permissions) (overlap a0-pa a0-epa a1-pa a1-epa)) (bvneg (_ bv1 16)) (_ bv0 16)))))
(define-fun kvm-says () Answer
  (ite (distinct kvm-read (_ bv0 16)) kvm-read
  (ite (distinct kvm-b0 (_ bv0 16)) kvm-b0
  (ite (distinct kvm-a0 (_ bv0 16)) kvm-a0
  kvm-a1))))

; ---- An entry of any values, and the answers to a list.

(declare-const pa U64) (declare-const epa U64) (declare-const permissions U64)
(declare-const decoder Answer) (declare-const kvm Answer)
