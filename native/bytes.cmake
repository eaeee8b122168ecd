# Writes the file FROM as a C++ array named SYMBOL into TO.
file(READ "${FROM}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE "${TO}" "#pragma once\nalignas(8) inline constexpr unsigned char ${SYMBOL}[] = {${bytes}};\n")
