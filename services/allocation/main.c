// allocation: the process. See allocation.h for what it is for.
#include "allocation.h"

int main(int argc, char **argv)
{
    return service_main(&allocation_service, argc, argv);
}
