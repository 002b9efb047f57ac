#include "insula/app/main.hpp"

int main(int argc, char** argv) {
    return insula::app::main(argc, argv);
}
