// CRC-32C with the instruction of the CPU (SSE 4.2, ARMv8 CRC), else slicing by eight.
#include "CLinux.h"
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

static uint32_t table[8][256];
static int mode; // 0 = not asked yet, 1 = table, 2 = instruction

static void make_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    table[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int slice = 1; slice < 8; slice++) table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xff];
}

static uint32_t by_table(uint32_t crc, const uint8_t *next, size_t size) {
  while (size >= 8) {
    uint32_t low, high;
    memcpy(&low, next, 4);
    memcpy(&high, next + 4, 4);
    low ^= crc;
    crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^ table[4][low >> 24] ^
          table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^ table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
    next += 8;
    size -= 8;
  }
  while (size--) crc = (crc >> 8) ^ table[0][(crc ^ *next++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *next, size_t size) {
  uint64_t wide = crc;
  while (size >= 8) {
    uint64_t word;
    memcpy(&word, next, 8);
    wide = __builtin_ia32_crc32di(wide, word);
    next += 8;
    size -= 8;
  }
  crc = (uint32_t)wide;
  while (size--) crc = __builtin_ia32_crc32qi(crc, *next++);
  return crc;
}
// Asked directly: the compiler's own test for CPU features brings 4 kB of tables.
static int has_instruction(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) != 0;
}
#elif defined(__aarch64__)
__attribute__((target("crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *next, size_t size) {
  while (size >= 8) {
    uint64_t word;
    memcpy(&word, next, 8);
    crc = __builtin_arm_crc32cd(crc, word);
    next += 8;
    size -= 8;
  }
  while (size--) crc = __builtin_arm_crc32cb(crc, *next++);
  return crc;
}
static int has_instruction(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
static uint32_t by_instruction(uint32_t crc, const uint8_t *next, size_t size) { return by_table(crc, next, size); }
static int has_instruction(void) { return 0; }
#endif

uint32_t linux_crc32c(uint32_t crc, const void *bytes, size_t size) {
  if (mode == 0) {
    make_table();
    mode = has_instruction() ? 2 : 1;
  }
  crc = ~crc;
  crc = mode == 2 ? by_instruction(crc, bytes, size) : by_table(crc, bytes, size);
  return ~crc;
}
